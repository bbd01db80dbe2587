import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo import compute, schema

START = datetime(2024, 1, 1, tzinfo=UTC)
TICK = timedelta(microseconds=1)
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]

IMPRESSION = {"weight": 0.0, "positive": False}
DISLIKE = {"positive": False}


def us(hours: float) -> int:
    return round((START + timedelta(hours=hours)).timestamp() * 1e6)


def one(view: str, events: pa.Table, items: pa.Table, entity: str, hours: float) -> dict[str, object]:
    """The single row of an entity at a moment, without its key and moment."""
    ids = {"users": [entity]} if view.startswith("user") else {"item_ids": [entity]}
    rows = compute.rows_at(events, items, at=START + timedelta(hours=hours), **ids)[view].to_pylist()
    assert len(rows) == 1
    return dict(list(rows[0].items())[2:])


def test_activity_of_a_user_is_counted_by_hand(make_events: Events, items: pa.Table) -> None:
    events = make_events(
        [
            ("u", "a", 0, {"value": 2.0}),
            ("u", "b", 24, {"value": 5.0, **DISLIKE}),
            ("u", "c", 24 * 8, IMPRESSION),
            ("u", "d", 24 * 8 + 1, {}),
            ("v", "c", 1, {}),
        ]
    )
    assert one("user_activity", events, items, "u", 24 * 8 + 2) == {
        "user_interactions_1d": 1,
        "user_interactions_7d": 1,
        "user_interactions_28d": 3,
        "user_interactions_365d": 3,
        "user_interactions": 3,
        "user_positives_1d": 1,
        "user_positives_7d": 1,
        "user_positives_28d": 2,
        "user_positives_365d": 2,
        "user_positives": 2,
        "user_impressions_7d": 1,
        "user_mean_value": 3.5,
        "user_categories": 2,
        "user_first_event_at": us(0),
        "user_last_event_at": us(24 * 8 + 1),
    }


def test_popularity_of_an_item_is_counted_by_hand(make_events: Events, items: pa.Table) -> None:
    events = make_events(
        [
            ("u", "a", 0, {"value": 1.0, **DISLIKE}),
            ("v", "a", 1, IMPRESSION),
            ("v", "a", 2, {"value": 4.0}),
            ("w", "a", 24 * 30, IMPRESSION),
            ("w", "b", 24 * 30, {}),
        ]
    )
    row = one("item_popularity", events, items, "a", 24 * 30 + 1)
    assert (row["item_interactions"], row["item_interactions_28d"], row["item_interactions_365d"]) == (2, 0, 2)
    assert (row["item_positives"], row["item_positives_28d"], row["item_positives_365d"]) == (1, 0, 1)
    assert row["item_impressions_28d"] == 1
    assert row["item_response_rate_28d"] == pytest.approx(1 / 21)
    assert row["item_mean_value"] == 2.5
    assert row["item_positive_share"] == 0.5
    assert (row["item_first_event_at"], row["item_last_event_at"]) == (us(0), us(2))


def test_context_of_an_item_is_counted_by_hand(make_events: Events, items: pa.Table) -> None:
    events = make_events(
        [
            ("u", "a", 5.99, {"device": "phone", "place": "home"}),  # Monday night
            ("v", "a", 6, {"device": "tv"}),  # Monday morning
            ("u", "a", 24 * 5 + 18, {"device": "phone"}),  # Saturday evening
            ("u", "a", 24 * 5 + 18, IMPRESSION),
            ("u", "b", 24 * 5 + 18, {"device": "car"}),
        ]
    )
    assert one("item_context", events, items, "a", 24 * 6) == {
        "item_night": 1,
        "item_morning": 1,
        "item_afternoon": 0,
        "item_evening": 1,
        "item_weekend": 1,
        "item_devices": ["phone", "tv"],
        "item_device_counts": [2, 1],
        "item_places": ["home"],
        "item_place_counts": [1],
    }


def test_a_taste_halves_in_180_days(make_events: Events, items: pa.Table) -> None:
    half = 180 * 24.0
    events = make_events([("u", "c", 0, {}), ("u", "b", half, {}), ("u", "c", half, DISLIKE)])
    row = one("user_item_affinity", events, items, "u", half + 1)
    assert row["affinity_categories"] == ["x", "y", "z"]
    assert row["affinity_weights"] == pytest.approx([0.4, 0.4, 0.2])
    assert row["last_categories"] == ["x", "y", "z"]  # of both items of the latest moment


def test_a_user_who_liked_nothing_has_no_affinities(make_events: Events, items: pa.Table) -> None:
    row = one("user_item_affinity", make_events([("u", "d", 0, {}), ("u", "a", 1, DISLIKE)]), items, "u", 2)
    assert row == {"affinity_categories": [], "affinity_weights": [], "last_categories": ["x"]}


def test_an_entity_without_history_has_no_row(make_events: Events, items: pa.Table) -> None:
    rows = compute.rows_at(make_events([("u", "a", 1, {})]), items, at=START, users=["u", "v"], item_ids=["a"])
    assert {name: len(table) for name, table in rows.items()} == dict.fromkeys(compute.BEHAVIOUR, 0)


def test_content_stands_from_the_creation_of_an_item_on() -> None:
    items = pa.Table.from_pylist(
        [
            {"item_id": "new", "title": "New", "categories": ["x"], "created_at": START, "image": "new.jpg"},
            {"item_id": "undated", "categories": [], "audio": "undated.flac"},
            {"item_id": "old", "categories": [], "created_at": datetime(1950, 1, 1, tzinfo=UTC)},
        ],
        schema.ITEMS,
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    rows = {row["item_id"]: row for row in compute.content_rows(items).to_pylist()}
    assert {item: row["event_timestamp"] for item, row in rows.items()} == {
        "new": START,
        "undated": epoch,
        "old": epoch,
    }
    assert [rows[item]["created_at"] for item in ("new", "undated", "old")] == [us(0), None, -631152000000000]
    assert [rows["new"][name] for name in ("has_text", "has_image", "has_audio")] == [True, True, False]
    assert [rows["undated"][name] for name in ("has_text", "has_image", "has_audio")] == [False, False, True]


def test_a_spine_stands_at_every_arrival_and_expiry_up_to_the_horizon(make_events: Events) -> None:
    events = make_events([("u", "a", 0, {}), ("u", "b", 0, IMPRESSION), ("v", "a", 0, {}), ("u", "a", 24 * 9, {})])
    spine = compute.change_spine("user_activity", events)
    moments = {(row["user_id"], row["event_timestamp"] - START - TICK) for row in spine.to_pylist()}
    assert len(spine) == len(moments)
    assert moments == {(user, timedelta(days=days)) for user in "uv" for days in (0, 1, 7)} | {("u", timedelta(9))}
    until = START + timedelta(days=5)
    assert len(compute.change_spine("user_activity", events, until=until)) == 4
    assert len(compute.change_spine("item_context", events)) == 2  # impressions change nothing there


rows = st.tuples(
    st.sampled_from("uvw"),
    st.sampled_from("abcd"),
    st.integers(0, 24 * 40),
    st.fixed_dictionaries(
        {
            "weight": st.sampled_from([0.0, 1.0]),
            "positive": st.booleans(),
            "value": st.sampled_from([None, 1.0, 2.5]),
            "device": st.sampled_from([None, "phone", "tv"]),
        }
    ),
)


@settings(max_examples=25)
@given(log=st.lists(rows, min_size=1, max_size=12), hours=st.integers(0, 24 * 50), entity=st.sampled_from("uvw"))
def test_counts_in_windows_equal_a_plain_count(
    make_events: Events, items: pa.Table, log: list[Row], hours: int, entity: str
) -> None:
    at = START + timedelta(hours=hours)
    before = [row for row in log if row[0] == entity and row[2] < hours]
    found = compute.rows_at(make_events(log), items, at=at, users=[entity])["user_activity"].to_pylist()
    assert len(found) == (len(before) > 0)
    for row in found:
        for days, name in [(1, "_1d"), (7, "_7d"), (28, "_28d"), (365, "_365d"), (9999, "")]:
            inside = [row for row in before if row[2] >= hours - 24 * days and row[3]["weight"]]
            assert row[f"user_interactions{name}"] == len(inside)
            assert row[f"user_positives{name}"] == sum(row[3]["positive"] for row in inside)
        shown = [row for row in before if row[2] >= hours - 24 * 7 and not row[3]["weight"]]
        assert row["user_impressions_7d"] == len(shown)


@settings(max_examples=25)
@given(log=st.lists(rows, min_size=1, max_size=12), hours=st.integers(0, 24 * 40))
def test_the_latest_spine_row_is_what_the_same_text_says_at_any_moment(
    make_events: Events, items: pa.Table, log: list[Row], hours: int
) -> None:
    events, at = make_events(log), START + timedelta(hours=hours)
    entities = {"users": list("uvw"), "item_ids": list("abcd")}
    now = compute.rows_at(events, items, at=at, **entities)
    for name, view in compute.BEHAVIOUR.items():
        latest: dict[object, dict[str, object]] = {}
        rows = compute.view_rows(name, events, items, until=START + timedelta(days=50)).sort_by("event_timestamp")
        for row in rows.to_pylist():
            if row.pop("event_timestamp") <= at:
                latest[row[view.key]] = row
        online = {
            row[view.key]: {k: v for k, v in row.items() if k != "event_timestamp"} for row in now[name].to_pylist()
        }
        assert online.keys() == latest.keys()
        for entity, row in online.items():
            for column, value in row.items():
                same = pytest.approx(value) if isinstance(value, float) or column == "affinity_weights" else value
                assert latest[entity][column] == same, (name, column)


def test_views_are_declared_as_the_sql_computes_them(make_events: Events, items: pa.Table, tmp_path: object) -> None:
    from feature_repo.plan import arrow_fields
    from feature_repo.settings import Settings
    from feature_repo.views import feature_views

    events = make_events([("u", "a", 0, {})])
    made = {name: compute.view_rows(name, events, items) for name in compute.BEHAVIOUR}
    made["item_content"] = compute.content_rows(items)
    for name, view in feature_views(Settings(home=tmp_path)).items():
        if name in made:
            fields = arrow_fields([*view.entity_columns, *view.features])
            assert {field.name: field.type for field in made[name].schema if field.name != "event_timestamp"} == fields


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(rows, max_size=12), hours=st.integers(0, 24 * 40))
def test_few_and_many_entities_take_different_ways_to_the_same_rows(
    make_events: Events, items: pa.Table, monkeypatch: pytest.MonkeyPatch, log: list[Row], hours: int
) -> None:
    events, at = make_events(log), START + timedelta(hours=hours)
    entities = {"users": list("uvw"), "item_ids": list("abcd")}
    few = compute.rows_at(events, items, at=at, **entities)
    monkeypatch.setattr(compute, "_FEW", -1)
    assert compute.rows_at(events, items, at=at, **entities) == few
    monkeypatch.undo()
    for name, view in compute.BEHAVIOUR.items():
        ids = entities["users" if view.key == "user_id" else "item_ids"]
        spine = pa.table({view.key: ids, "event_timestamp": pa.array([at] * len(ids), schema.TIMESTAMP)})
        assert compute.view_rows(name, events, items, spine=spine) == few[name]


def test_a_long_history_has_the_same_rows_beside_all_the_others(make_events: Events, items: pa.Table) -> None:
    draw = random.Random(0)
    log = [
        (
            draw.choice("uvw"),
            draw.choice("abcd"),
            draw.uniform(0, 24 * 400),
            {
                "weight": draw.choice([0.0, 1.0, 3.0]),
                "positive": draw.random() < 0.7,
                "value": draw.choice([None, 0.5, 4.0]),
                "device": draw.choice([None, "phone", "tv"]),
            },
        )
        for _ in range(9000)
    ]
    events, at = make_events(log), START + timedelta(days=399)
    alone = compute.rows_at(events, items, at=at, users=["u"], item_ids=["a"])
    for name, view in compute.BEHAVIOUR.items():
        ids = list("uvw" if view.key == "user_id" else "abcd")
        spine = pa.table({view.key: ids, "event_timestamp": pa.array([at] * len(ids), schema.TIMESTAMP)})
        assert compute.view_rows(name, events, items, spine=spine).slice(0, 1) == alone[name]
