from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import schema
from feature_repo.compute import BEHAVIOUR, content_rows, view_rows
from validation import features
from validation.run import validate

START = datetime(2024, 1, 1, tzinfo=UTC)


def computed(view: str) -> pa.Table:
    """Rows of a view over 60 events of 5 users and 6 items in 90 days, some of them exposures."""
    rng = np.random.default_rng(0)
    events = [
        {
            "event_id": f"e{n}",
            "user_id": f"u{rng.integers(5)}",
            "item_id": f"i{rng.integers(6)}",
            "kind": "k",
            "value": float(rng.integers(1, 6)),
            "occurred_at": START + timedelta(days=float(rng.random() * 90)),
            "device": [None, "phone", "tv"][rng.integers(3)],
            "place": ["home", None][rng.integers(2)],
            "weight": float(rng.integers(0, 3)),
            "positive": bool(rng.integers(2)),
        }
        for n in range(60)
    ]
    items = pa.Table.from_pylist(
        [{"item_id": f"i{n}", "title": "t", "categories": ["a", "b", "c"][: n % 4]} for n in range(6)], schema.ITEMS
    )
    if view == "item_content":
        return content_rows(items)
    return view_rows(view, pa.Table.from_pylist(events, schema.LABELLED_EVENTS), items)


def with_first(table: pa.Table, column: str, values: Sequence[object]) -> pa.Table:
    """Other values in the first rows that have everything: a null beside them would leave nothing to compare."""
    whole = np.array([None not in row.values() for row in table.to_pylist()])
    table = table.take(np.argsort(~whole, kind="stable"))
    new = [*values, *table[column].to_pylist()[len(values) :]]
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.array(new, table.schema.field(column).type))


@pytest.mark.parametrize("view", [*BEHAVIOUR, "item_content"])
def test_what_the_views_compute_passes(view: str) -> None:
    report = validate(computed(view), features.suite(view))
    assert report.failed() == []
    assert report.rows > 5


@pytest.mark.parametrize(
    ("view", "column", "values", "named"),
    [
        ("user_activity", "user_id", [None], "user_id"),
        ("user_activity", "event_timestamp", [None], "event_timestamp"),
        ("user_activity", "user_interactions_1d", [-1], "user_interactions_1d"),
        ("user_activity", "user_interactions_7d", [500], "user_interactions_28d, user_interactions_7d"),
        ("user_activity", "user_positives_28d", [None], "user_positives_28d, user_positives_7d"),
        ("user_activity", "user_positives", [500], "user_interactions, user_positives"),
        ("user_activity", "user_impressions_7d", [-2], "user_impressions_7d"),
        ("user_activity", "user_last_event_at", [1 << 60], "event_timestamp_us, user_last_event_at"),
        ("user_activity", "user_first_event_at", [1 << 60], "user_last_event_at, user_first_event_at"),
        ("item_popularity", "item_positive_share", [1.5], "item_positive_share"),
        ("item_popularity", "item_response_rate_28d", [-0.1], "item_response_rate_28d"),
        ("item_context", "item_night", [-1], "item_night"),
        ("item_context", "item_weekend", [500], "item_interactions, item_weekend"),
        ("item_context", "item_device_counts", [[1, 2, 3]], "length_item_devices, length_item_device_counts"),
        ("user_item_affinity", "affinity_weights", [[0.5]], "length_affinity_categories, length_affinity_weights"),
        ("item_content", "item_id", ["i1"], "item_id"),
        ("item_content", "categories", [None], "length_categories"),
        ("item_content", "has_text", [None], "has_text"),
    ],
)
def test_each_fault_is_named(view: str, column: str, values: list[object], named: str) -> None:
    lines = validate(with_first(computed(view), column, values), features.suite(view)).failed()
    assert any(line.startswith(f"{view}.{named}: ") for line in lines), lines


def test_shares_of_categories_are_not_negative_and_add_up_to_1() -> None:
    rows = pa.table(
        {
            "user_id": ["u1", "u2", "u3", "u4"],
            "event_timestamp": pa.array([START] * 4, schema.TIMESTAMP),
            "affinity_categories": [["a", "b"], ["a", "b"], ["a", "b"], []],
            "affinity_weights": pa.array([[0.25, 0.75], [0.5, 0.4], [1.5, -0.5], []], pa.list_(pa.float32())),
        }
    )
    total, least = sorted(validate(rows, features.suite("user_item_affinity")).failed(), reverse=True)
    assert total.startswith("user_item_affinity.total_affinity_weights: ")
    assert "1 of 4 rows, such as 0.9" in total
    assert least.startswith("user_item_affinity.least_affinity_weights: ")
    assert "such as -0.5" in least


def test_a_moment_of_an_entity_stands_once() -> None:
    rows = computed("user_activity")
    lines = validate(pa.concat_tables([rows, rows.slice(0, 1)]), features.suite("user_activity")).failed()
    assert [line.partition(":")[0] for line in lines] == ["user_activity.user_id, event_timestamp"]


def test_a_view_without_a_suite_is_refused() -> None:
    with pytest.raises(ValueError, match="'user_vectors' has no suite; accepted are item_content"):
        features.suite("user_vectors")
