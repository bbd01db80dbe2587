from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import compute

START = datetime(2024, 1, 1, tzinfo=UTC)
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]
WHO = {"users": ["u", "v"], "item_ids": ["a", "b", "c"]}


def rows(first_hour: int) -> st.SearchStrategy[list[Row]]:
    changed = st.fixed_dictionaries(
        {"weight": st.sampled_from([0.0, 1.0]), "positive": st.booleans(), "device": st.sampled_from([None, "tv"])}
    )
    row = st.tuples(st.sampled_from("uv"), st.sampled_from("abc"), st.integers(first_hour, first_hour + 240), changed)
    return st.lists(row, max_size=10)


@settings(max_examples=30)
@given(past=rows(0), future=rows(240))
def test_no_feature_sees_its_own_moment_or_later(
    make_events: Events, items: pa.Table, past: list[Row], future: list[Row]
) -> None:
    past = [row for row in past if row[2] < 240]
    at = START + timedelta(hours=240)
    known = compute.rows_at(make_events(past), items, at=at, **WHO)
    assert compute.rows_at(make_events(past + future), items, at=at, **WHO) == known


def test_an_event_counts_one_microsecond_after_it_occurred(make_events: Events, items: pa.Table) -> None:
    events = make_events([("u", "a", 240, {})])
    at = START + timedelta(hours=240)
    assert not any(map(len, compute.rows_at(events, items, at=at, **WHO).values()))
    assert all(map(len, compute.rows_at(events, items, at=at + timedelta(microseconds=1), **WHO).values()))


@settings(max_examples=15)
@given(past=rows(0), future=rows(240))
def test_no_offline_row_changes_when_later_events_come(
    make_events: Events, items: pa.Table, past: list[Row], future: list[Row]
) -> None:
    past = [row for row in past if row[2] < 240]
    at = START + timedelta(hours=240)
    for name in compute.BEHAVIOUR:
        before = compute.view_rows(name, make_events(past), items, until=at)
        assert compute.view_rows(name, make_events(past + future), items, until=at) == before
