"""A follower of the event log knows what the log holds, whoever wrote, moved or erased."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import schema
from feature_repo.event_log import EventLog
from feature_repo.event_tail import EventTail

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def event(number, user="u"):
    at = NOON + timedelta(hours=number)
    row = {"event_id": f"e{number}", "user_id": user, "item_id": "i", "kind": "k", "occurred_at": at}
    return pa.Table.from_pylist([row], schema.EVENTS)


def ids(events):
    return events["event_id"].to_pylist()


STEPS = st.one_of(
    st.tuples(st.just("append"), st.integers(0, 40), st.sampled_from("abc")),
    st.tuples(st.just("compact"), st.just(0), st.just("")),
    st.tuples(st.just("forget"), st.just(0), st.sampled_from("abc")),
    st.tuples(st.just("look"), st.just(0), st.just("")),
)


@settings(max_examples=40)
@given(steps=st.lists(st.tuples(st.booleans(), STEPS), max_size=15))
def test_all_that_a_tail_gave_is_what_the_log_holds(tmp_path_factory, steps):
    logs = [EventLog(tmp_path_factory.mktemp("log")) for _ in range(1)]
    logs.append(EventLog(logs[0].folder))  # another process, as it were
    tail = EventTail(EventLog(logs[0].folder))
    known = ids(tail.read())
    tail.settled()
    for other, (what, number, user) in [*steps, (False, ("look", 0, ""))]:
        log = logs[other]
        if what == "append":
            log.append(event(number, user))
        elif what == "compact":
            log.compact()
        elif what == "forget":
            log.forget([user])
        else:
            if tail.moved():
                events = tail.unread()
                known = ids(tail.read()) if events is None else known + ids(events)
                tail.settled()
            assert sorted(known) == sorted(logs[0].ids())
            assert not tail.moved()


def test_what_is_read_counts_as_unread_until_it_is_settled(tmp_path):
    log = EventLog(tmp_path)
    tail = EventTail(log)
    tail.read()
    tail.settled()
    assert not tail.moved()
    log.append(event(1))
    assert tail.moved()
    assert ids(tail.unread()) == ["e1"]
    assert tail.moved()
    tail.settled()
    assert not tail.moved()
    assert ids(tail.unread()) == []
