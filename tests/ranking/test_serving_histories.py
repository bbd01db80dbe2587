"""Histories in memory equal what a sort of all events gives."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranking.serving.histories import Histories, session
from ranking.types import IdIndex, Interactions

ITEMS = IdIndex(tuple(f"i{n}" for n in range(5)))
Row = tuple[str, int, int]  # user, item, moment


def log(rows: Sequence[Row]) -> Interactions:
    rows = sorted(rows, key=lambda row: row[2])
    users = IdIndex.of(user for user, _, _ in rows)
    n = len(rows)
    return Interactions(
        users=users,
        items=ITEMS,
        user=users.codes(user for user, _, _ in rows),
        item=np.array([item for _, item, _ in rows], np.int32),
        occurred_at=np.array([at for _, _, at in rows], np.int64),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


# moments are distinct, so that there is one right order
batches = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 4), st.integers(0, 99)), unique_by=lambda row: row[2]
)


@given(batches, st.lists(st.integers(1, 5), max_size=4), st.integers(0, 100))
def test_added_batches_give_each_user_all_events_in_time_order(rows: list[Row], sizes: list[int], moment: int) -> None:
    histories = Histories(log(rows[: sizes[0]] if sizes else rows))
    done = sizes[0] if sizes else len(rows)
    for size in [*sizes[1:], len(rows)]:
        histories.add(log(rows[done : done + size]))
        done += size
    for user in "abc":
        wanted = sorted((at, item) for who, item, at in rows if who == user)
        found = histories.of(user)
        assert list(zip(found.occurred_at.tolist(), found.item.tolist(), strict=True)) == wanted
        assert (user in histories) == bool(wanted)
        assert found.before(moment).occurred_at.tolist() == [at for at, _ in wanted if at < moment]


def test_a_session_lies_just_before_the_request() -> None:
    history = session(np.array([3, 1], np.int32), 1000)
    assert history.occurred_at.tolist() == [998, 999]
    assert history.item.tolist() == [3, 1]
    assert len(history.before(1000)) == 2
