from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.splits import MIN_EVENTS, Protocol, split
from ranking.types import IdIndex, Interactions

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
