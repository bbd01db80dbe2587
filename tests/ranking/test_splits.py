from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.splits import MIN_EVENTS, Protocol, protocols_of, served_protocol, split
from ranking.strategy.fit import divisions
from ranking.types import UNKNOWN, IdIndex, Interactions

Event = tuple[int, int, int, bool]  # user, item, moment, positive


def log_of(events: Sequence[Event], n_users: int = 8, n_items: int = 10) -> Interactions:
    """A log in the given order, which must be that of its moments."""
    user, item, at, positive = zip(*events, strict=True) if events else ((), (), (), ())
    return Interactions(
        users=IdIndex(tuple(f"u{i:02}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:02}" for i in range(n_items))),
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        occurred_at=np.array(at, np.int64),
        weight=np.ones(len(events), np.float32),
        positive=np.array(positive, bool),
        device=np.array([f"d{n}" for n in range(len(events))], object),
        place=np.full(len(events), None, object),
    )


logs = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 9), st.integers(0, 30), st.booleans()), min_size=1, max_size=80
).map(lambda events: log_of(sorted(events, key=lambda event: event[2])))
protocols = st.sampled_from(Protocol)


def events_of(log: Interactions) -> list[Event]:
    """Events as tuples; their device names them, as it is their number."""
    return list(zip(log.user.tolist(), log.item.tolist(), log.occurred_at.tolist(), log.device.tolist(), strict=True))


def relevant_of(matrix, row: int) -> set[int]:
    return set(matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].tolist())


@given(logs, protocols, st.booleans())
def test_no_event_is_both_learned_from_and_asked_for(log, protocol, newcomers):
    divided = split(log, protocol, newcomers=newcomers)
    train, test = events_of(divided.train), events_of(divided.test)
    assert not set(train) & set(test)
    left_out = set(events_of(log)) - set(train) - set(test)
    assert not {event[0] for event in left_out} & set(divided.queries.user.tolist())


@given(logs, protocols)
def test_an_evaluated_users_held_out_events_are_the_users_latest(log, protocol):
    divided = split(log, protocol)
    for user in divided.queries.user.tolist():
        kept = [event for event in events_of(divided.train) if event[0] == user]
        held = [event for event in events_of(divided.test) if event[0] == user]
        in_order = [event for event in events_of(log.ties_by_item()) if event[0] == user]
        assert sorted(kept, key=in_order.index) + held == in_order
        assert kept and held


@given(logs, protocols, st.booleans())
def test_a_history_is_exactly_the_users_training_events(log, protocol, newcomers):
    divided = split(log, protocol, newcomers=newcomers)
    queries = divided.queries
    for row, user in enumerate(queries.user.tolist()):
        mine = slice(queries.indptr[row], queries.indptr[row + 1])
        train = divided.train.where(divided.train.user == user)
        assert queries.item[mine].tolist() == train.item.tolist()
        assert queries.occurred_at[mine].tolist() == train.occurred_at.tolist()
        assert queries.positive[mine].tolist() == train.positive.tolist()


@given(logs, protocols)
def test_a_query_asks_at_its_users_first_held_out_event_and_knows_nothing_later(log, protocol):
    divided = split(log, protocol)
    queries = divided.queries
    assert (queries.as_of <= queries.at).all()
    assert (queries.occurred_at <= queries.as_of[queries.row]).all()
    for row, user in enumerate(queries.user.tolist()):
        first = divided.test.where(divided.test.user == user)
        assert queries.at[row] == first.occurred_at[0]
        assert queries.device[row] == first.device[0]


@given(logs, protocols, st.booleans())
def test_relevant_items_are_held_out_unseen_and_liked(log, protocol, newcomers):
    divided = split(log, protocol, newcomers=newcomers)
    for row, user in enumerate(divided.queries.user.tolist()):
        train = set(divided.train.item[divided.train.user == user].tolist())
        mine = divided.test.where(divided.test.user == user)
        liked = mine.item if protocol is Protocol.P3 else mine.item[mine.positive]
        if protocol is Protocol.P3:
            assert relevant_of(divided.relevant, row) == {int(mine.item[0])}
            assert int(mine.item[0]) not in train
        else:
            assert relevant_of(divided.relevant, row) == set(liked.tolist()) - train != set()


@given(logs, protocols)
def test_a_split_of_the_training_part_looks_only_further_back(log, protocol):
    outer = split(log, protocol)
    inner = split(outer.train, protocol)
    assert set(events_of(inner.train)) | set(events_of(inner.test)) <= set(events_of(outer.train))
    if len(outer.train):
        assert inner.cutoff is None or inner.cutoff <= outer.cutoff


@given(logs, st.integers(1, 8))
def test_the_cutoff_is_the_latest_that_leaves_enough_users(log, min_users):
    def users_at(cutoff: int) -> int:
        count = 0
        for user in range(len(log.users)):
            mine = log.where(log.user == user)
            before = set(mine.item[mine.occurred_at < cutoff].tolist())
            after = set(mine.item[(mine.occurred_at >= cutoff) & mine.positive].tolist())
            count += bool(before) and bool(after - before)
        return count

    moments = sorted(set(log.occurred_at[len(log) // 2 : int(len(log) * 0.8) + 1].tolist()), reverse=True)
    wanted = min(min_users, max(map(users_at, moments)))
    divided = split(log, Protocol.P1, min_users=min_users)
    assert divided.cutoff == next(moment for moment in moments if users_at(moment) >= wanted)
    assert len(divided.queries) == users_at(divided.cutoff)


def test_one_cutoff_leaves_the_latest_fifth_of_all_events():
    log = log_of([(n % 2, n % 10, n, True) for n in range(10)])
    divided = split(log, Protocol.P1, min_users=2)
    assert divided.cutoff == 8
    assert divided.train.occurred_at.tolist() == list(range(8))
    assert divided.queries.as_of.tolist() == [8, 8]
    assert divided.queries.at.tolist() == [8, 9]


def test_events_of_the_cutoffs_own_moment_are_all_held_out():
    log = log_of([(0, 0, 0, True), (1, 1, 1, True), *[(n % 2, n, 5, True) for n in range(2, 10)]])
    assert split(log, Protocol.P1).train.occurred_at.tolist() == [0, 1]


def test_users_without_a_history_are_asked_for_on_demand_only():
    log = log_of([*[(0, n, n, True) for n in range(9)], (1, 0, 9, True), (0, 9, 10, True)])
    assert split(log, Protocol.P1).queries.user.tolist() == [0]
    asked = split(log, Protocol.P1, newcomers=True).queries
    assert asked.user.tolist() == [0, 1]
    assert np.diff(asked.indptr).tolist() == [8, 0]


def test_the_latest_fifth_of_each_user_is_rounded_down():
    events = [(0, n, n, True) for n in range(9)] + [(1, n, 20 + n, True) for n in range(MIN_EVENTS - 1)]
    divided = split(log_of(events), Protocol.P2)
    assert divided.queries.user.tolist() == [0]
    assert divided.test.item.tolist() == [8]
    assert len(divided.train) == 8 + MIN_EVENTS - 1


@pytest.mark.parametrize("order", [(4, 2, 9, 1, 3), (9, 4, 3, 2, 1)])
def test_ties_are_cut_by_item_id_and_stay_in_the_history(order):
    divided = split(log_of([(0, item, 7, True) for item in order]), Protocol.P2)
    assert sorted(divided.queries.item.tolist()) == [1, 2, 3, 4]
    assert divided.test.item.tolist() == [9]
    assert divided.queries.as_of.tolist() == [7]


def test_models_see_ties_in_an_order_that_tells_nothing_of_ids():
    log = log_of([(user, item, moment, True) for moment in (1, 2) for user in range(8) for item in range(9, -1, -1)])
    rising = []
    for seed in range(3):
        train = split(log, Protocol.P2, tie_seed=seed).train
        assert (np.diff(train.occurred_at) >= 0).all()
        tied = np.diff(train.occurred_at) == 0
        rising.append((np.diff(train.item)[tied] > 0).mean())
    assert all(0.3 < share < 0.6 for share in rising)
    assert len(set(rising)) > 1


def test_the_last_new_item_is_asked_for_whatever_its_sign():
    events = [(0, 1, 0, True), (0, 2, 1, False), (0, 1, 2, True), (1, 5, 3, True), (1, 5, 4, True)]
    divided = split(log_of(events), Protocol.P3)
    assert divided.queries.user.tolist() == [0]
    assert relevant_of(divided.relevant, 0) == {2}
    assert divided.test.occurred_at.tolist() == [1, 2]


def test_an_item_seen_before_is_never_relevant_again():
    log = log_of([(0, item, at, True) for at, item in enumerate((0, 1, 2, 3, 4, 5, 6, 7, 0, 8))])
    assert relevant_of(split(log, Protocol.P2).relevant, 0) == {8}


@pytest.mark.parametrize("protocol", Protocol)
def test_an_empty_log_asks_nothing(protocol):
    divided = split(log_of([]), protocol)
    assert len(divided.queries) == len(divided.train) == divided.relevant.shape[0] == 0


def test_a_share_that_holds_out_everything_is_refused():
    with pytest.raises(ValueError, match="share is 1"):
        split(log_of([(0, 0, 0, True)]), Protocol.P2, share=1.0)


@st.composite
def parted_logs(draw) -> Interactions:
    """Logs with a split of their own that pays no heed to time; some events are of no part."""
    log = draw(logs)
    part = draw(st.lists(st.integers(UNKNOWN, 2), min_size=len(log), max_size=len(log)))
    return replace(log, part=np.array(part, np.int8))


def of_part(log: Interactions, *parts: int) -> list[Event]:
    return sorted(events_of(log.where(np.isin(log.part, parts))))


@given(parted_logs(), st.booleans())
def test_a_datasets_own_split_is_taken_as_it_stands(log, newcomers):
    last = max(log.part.tolist())
    if last < 1:
        return
    divided = split(log, Protocol.FIXED, newcomers=newcomers)
    assert sorted(events_of(divided.train)) == of_part(log, *range(last))
    assert set(events_of(divided.test)) <= set(of_part(log, last))
    queries = divided.queries
    for row, user in enumerate(queries.user.tolist()):
        train = divided.train.where(divided.train.user == user)
        mine = divided.test.where(divided.test.user == user)
        assert queries.item[queries.indptr[row] : queries.indptr[row + 1]].tolist() == train.item.tolist()
        assert len(train) or newcomers
        assert relevant_of(divided.relevant, row) == set(mine.item[mine.positive].tolist()) - set(train.item.tolist())
        assert queries.at[row] == mine.occurred_at[0]
    held = log.occurred_at[log.part == last]
    assert (queries.as_of == held.min()).all()  # features know nothing that is held out of anybody
    assert all(at >= queries.as_of.max() for at in divided.test.occurred_at.tolist())


@given(parted_logs())
def test_windows_of_a_datasets_own_split_are_test_then_validation_then_each_users_latest(log):
    divided = divisions(log, Protocol.FIXED, 3)
    for outer, inner in pairwise(divided):
        assert set(events_of(inner.train)) | set(events_of(inner.test)) <= set(events_of(outer.train))
        assert not set(events_of(inner.train)) & set(events_of(outer.test))
    for one in divided:
        assert UNKNOWN not in one.train.part
        if one.protocol is Protocol.FIXED and (one.test.part > 0).any():  # else each user's latest, of whatever part
            assert one.train.part.max(initial=-1) < one.test.part.min()


def test_window_after_window_goes_from_test_to_validation_to_the_latest_of_train():
    events = [(user, item, item, True) for item in range(10) for user in range(30)]
    log = log_of(events, n_users=30)
    log = replace(log, part=np.select([log.item == 9, log.item == 8], [2, 1], 0).astype(np.int8))
    first, second, third = divisions(log, Protocol.FIXED, 3)
    assert (set(first.test.item), set(second.test.item), set(third.test.item)) == ({9}, {8}, {7})
    assert [one.parameters["rule"] for one in (first, second, third)] == [
        "the dataset's own split: test, known is train and validation",
        "the dataset's own split: validation, known is train",
        "latest events of each user",
    ]
    assert (set(first.queries.as_of), set(second.queries.as_of)) == ({9}, {8})


def test_only_a_dataset_with_a_split_of_its_own_is_evaluated_by_it():
    log = log_of([(0, 0, 0, True)])
    assert protocols_of(log) == (Protocol.P1, Protocol.P2, Protocol.P3)
    assert served_protocol(log) is Protocol.P2
    log = replace(log, part=np.zeros(1, np.int8))
    assert protocols_of(log) == (Protocol.FIXED,)
    assert served_protocol(log) is Protocol.FIXED
