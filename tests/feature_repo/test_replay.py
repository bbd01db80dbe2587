"""Parity by replay: a served vector is confirmed or not by what was known when it was read."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo import compute, parity, schema
from feature_repo.event_rows import RECEIVED_AT
from feature_repo.parity import replay
from feature_repo.parity_report import DIFFERENT, EXACT, FLYING, OPEN, ROUNDED, Report
from feature_repo.served import with_told
from feature_repo.settings import Settings
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
READ_AT = datetime(2024, 6, 1, tzinfo=UTC)  # by the machine's clock, which need not be the data's
BEFORE, AFTER = READ_AT - timedelta(hours=1), READ_AT + timedelta(seconds=1)
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]
ITEMS = ["a", "b", "c"]
LOG: list[Row] = [
    ("u", "a", 1, {"value": 2.0, "device": "tv"}),
    ("u", "b", 5, {"value": 0.1}),
    ("v", "a", 9, {"weight": 0.0, "positive": False}),
    ("v", "b", 20, {"value": 0.3, "place": "home"}),
]


def known_since(events: pa.Table, received: datetime | list[datetime | None]) -> pa.Table:
    moments = received if isinstance(received, list) else [received] * len(events)
    return events.append_column(RECEIVED_AT, pa.array(moments, schema.TIMESTAMP))


@pytest.fixture
def home(tmp_path: Path) -> Store:
    """Where vectors are served from; a new one each, since a row of an earlier moment never replaces a later one."""
    store = Store(Settings(home=tmp_path))
    store.apply()
    return store


@pytest.fixture
def serve(home: Store, items: pa.Table) -> Callable[..., pa.Table]:
    """Vectors of user u and three items as the online store gives them, refreshed at one moment, read at another."""

    def vectors(events: pa.Table, hours: float, *, refreshed: float | None = None) -> pa.Table:
        at = START + timedelta(hours=hours)
        home.push("item_content", compute.content_rows(items))
        known = at if refreshed is None else START + timedelta(hours=refreshed)
        home.refresh(events, items, at=known, users=["u", "v"], item_ids=ITEMS)
        found = home.online_frame("u", ITEMS, at=at, device="tv", place="home").replace_schema_metadata()
        asked = {
            "event_timestamp": pa.array([at] * 3, schema.TIMESTAMP),
            "requested_at": pa.array([at] * 3, schema.TIMESTAMP),
            "device": pa.array(["tv"] * 3),
            "place": pa.array(["home"] * 3),
        }
        for name, column in asked.items():
            found = found.append_column(name, column)
        return with_told(found, "request", READ_AT, "release", "ranking_v1", "text")

    return vectors


@pytest.fixture
def compare(home: Store, items: pa.Table) -> Callable[[pa.Table, pa.Table], Report]:
    return lambda served, events: replay(served, service="ranking_v1", store=home, events=events, items=items)


def changed(served: pa.Table, name: str, values: list[object]) -> pa.Table:
    place = served.column_names.index(name)
    return served.set_column(place, name, pa.array(values, served.schema.field(name).type))


def test_vectors_of_the_online_store_are_confirmed(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    report = compare(serve(events, 30), known_since(events, BEFORE))
    assert report.passed
    assert (report.requests, report.vectors) == (1, 3)
    assert report.count(EXACT) == 3 * len(report.features)
    assert not report.late_vectors and not report.differences


def test_a_value_that_differs_is_named_with_both_values(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    served = changed(serve(events, 30), "item_positives", [1, 99, 0])
    report = compare(served, known_since(events, BEFORE))
    truth = serve(events, 30)["item_positives"].to_pylist()
    assert not report.passed
    named = {(one.feature, one.item_id): (one.served, one.offline) for one in report.differences}
    assert named == {
        ("item_positives", item): (given, true)
        for item, given, true in zip(ITEMS, [1, 99, 0], truth, strict=True)
        if given != true
    }
    assert {one.user_id for one in report.differences} == {"u"}
    assert report.features["item_positives"][DIFFERENT] == len(named) >= 1


@pytest.mark.parametrize(("factor", "outcome"), [(1 + 2**-23, ROUNDED), (1 + 2**-18, DIFFERENT)])
def test_float32_may_be_rounded_and_no_more(make_events: Events, serve, compare, factor: float, outcome: str) -> None:
    events = make_events(LOG)
    served = serve(events, 30)
    values = [None if one is None else one * factor for one in served["user_mean_value"].to_pylist()]
    report = compare(changed(served, "user_mean_value", values), known_since(events, BEFORE))
    assert report.features["user_mean_value"][outcome] == 3


def test_a_null_for_a_value_differs(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    report = compare(changed(serve(events, 30), "context_hour", [6, None, 6]), known_since(events, BEFORE))
    assert report.features["context_hour"][DIFFERENT] == 1
    assert report.differences[0].served is None


def test_events_after_the_request_do_not_count(make_events: Events, serve, compare) -> None:
    before = make_events(LOG)
    served = serve(before, 30)
    later = make_events([*LOG, ("u", "a", 30, {}), ("u", "c", 31, {})])  # at the request's own moment, and after it
    report = compare(served, known_since(later, [BEFORE] * 4 + [AFTER] * 2))
    assert report.passed
    assert report.count(EXACT) == 3 * len(report.features)
    assert (report.late_events, report.late_vectors) == (0, 0)


def test_an_event_that_came_late_is_left_out_and_told(make_events: Events, serve, compare) -> None:
    served = serve(make_events(LOG), 30)
    all_events = make_events([*LOG, ("w", "b", 28, {})])
    report = compare(served, known_since(all_events, [BEFORE] * 4 + [AFTER]))
    assert report.passed
    assert report.count(EXACT) == 3 * len(report.features)
    assert (report.late_events, report.late_vectors) == (1, 1)  # of item b alone
    assert report.late_features["item_interactions"] == 1
    assert "user_interactions" not in report.late_features


def test_an_event_that_was_known_and_not_served_differs(make_events: Events, serve, compare) -> None:
    served = serve(make_events(LOG), 30)
    all_events = make_events([*LOG, ("w", "b", 28, {})])
    report = compare(served, known_since(all_events, BEFORE))
    assert not report.passed
    assert ("item_interactions", "b") in {(one.feature, one.item_id) for one in report.differences}


def test_an_event_whose_push_may_be_on_its_way_is_told(make_events: Events, serve, compare) -> None:
    served = serve(make_events(LOG), 30)
    all_events = make_events([*LOG, ("w", "b", 28, {})])
    just_before = READ_AT - timedelta(milliseconds=5)
    report = compare(served, known_since(all_events, [None] * 4 + [just_before]))
    assert report.passed
    assert report.features["item_interactions"][FLYING] == 1
    assert report.features["user_interactions"][FLYING] == 0


def test_a_window_that_the_next_run_will_close_is_told(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    leaves = 5 + 24  # the user's last event leaves the window of one day
    report = compare(serve(events, leaves + 0.5, refreshed=leaves - 0.5), known_since(events, BEFORE))
    assert report.passed
    assert report.features["user_interactions_1d"][OPEN] == 3
    assert report.features["user_interactions"][OPEN] == 0


def test_a_window_that_no_run_closed_in_time_differs(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    hours = 5 + 24 + parity.OPEN_WINDOW / timedelta(hours=1) + 1
    report = compare(serve(events, hours, refreshed=5 + 23), known_since(events, BEFORE))
    assert "user_interactions_1d" in {one.feature for one in report.differences}


def test_a_service_with_vectors_and_lists_is_compared(make_events: Events, home: Store, items: pa.Table) -> None:
    at = START + timedelta(hours=30)
    vectors = pa.table(
        {
            "user_id": ["u"],
            "event_timestamp": pa.array([START], schema.TIMESTAMP),
            "user_vector": pa.array([[0.25] * 128], pa.list_(pa.float32())),
        }
    )
    home.write_view("user_vectors", vectors)
    home.push("user_vectors", vectors)
    events = make_events(LOG)
    home.refresh(events, items, at=at, users=["u"])
    found = home.online_rows({"user_id": ["u"]}, at=at, service="retrieval_v1").replace_schema_metadata()
    nothing = pa.nulls(1, pa.string())
    for name, column in {
        "item_id": nothing,
        "event_timestamp": pa.array([at], schema.TIMESTAMP),
        "requested_at": pa.array([at], schema.TIMESTAMP),
        "device": nothing,
        "place": nothing,
    }.items():
        found = found.append_column(name, column)
    served = with_told(found, "request", READ_AT, "release", "retrieval_v1", "text")
    report = replay(served, service="retrieval_v1", store=home, events=known_since(events, BEFORE), items=items)
    assert report.passed
    assert {"user_vector", "affinity_categories"} <= report.features.keys()
    other = pa.array([[0.25] * 127 + [0.75]], pa.list_(pa.float32()))
    wrong = served.set_column(served.column_names.index("user_vector"), "user_vector", other)
    report = replay(wrong, service="retrieval_v1", store=home, events=known_since(events, BEFORE), items=items)
    assert [one.feature for one in report.differences] == ["user_vector"]


def test_reports_of_services_add_up(make_events: Events, serve, compare) -> None:
    events = make_events(LOG)
    served = serve(events, 30)
    one = compare(served, known_since(events, BEFORE))
    other = compare(changed(served, "context_hour", [6, None, 6]), known_since(events, BEFORE))
    both = one + other
    assert (both.requests, both.vectors, both.passed) == (2, 6, False)
    assert both.count(EXACT) == one.count(EXACT) + other.count(EXACT)
