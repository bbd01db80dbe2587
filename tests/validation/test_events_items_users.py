from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from feature_repo import schema
from validation import events, items, users
from validation.run import validate

NOW = datetime(2024, 6, 1, tzinfo=UTC)
EVENTS = events.suite(kinds=["click", "view"], now=NOW)


def replaced(table: pa.Table, column: str, values: Sequence[object]) -> pa.Table:
    """The table with its first values of a column replaced; the column's schema is that of the table, but nullable."""
    new = [*values, *table[column].to_pylist()[len(values) :]]
    place = table.column_names.index(column)
    return table.set_column(place, column, pa.array(new, table.schema.field(column).type))


def good_events() -> pa.Table:
    rows = [
        {
            "event_id": f"e{n}",
            "user_id": f"u{n % 3}",
            "item_id": f"i{n % 4}",
            "kind": ["click", "view"][n % 2],
            "occurred_at": NOW - timedelta(hours=n),
            "position": None if n % 2 else n,
            "propensity": None if n % 2 else 1 / (n + 1),
            "weight": float(n % 2),
            "positive": n % 2 == 1,
        }
        for n in range(12)
    ]
    return pa.Table.from_pylist(rows, schema.LABELLED_EVENTS)


def test_good_events_pass() -> None:
    report = validate(good_events(), EVENTS)
    assert (report.passed, report.failed(), report.rows) == (True, [], 12)


@pytest.mark.parametrize(
    ("column", "values", "expectation"),
    [
        ("event_id", ["e1"], "be_unique"),
        ("event_id", [None], "not_be_null"),
        ("user_id", [""], "not_be_in_set"),
        ("item_id", [None], "not_be_null"),
        ("kind", ["glance"], "be_in_set"),
        ("kind", [None], "not_be_null"),
        ("occurred_at", [NOW + timedelta(microseconds=1)], "be_between"),
        ("occurred_at", [datetime(1969, 12, 31, tzinfo=UTC)], "be_between"),
        ("occurred_at", [None], "not_be_null"),
        ("weight", [-1.0], "be_between"),
        ("weight", [float("nan")], "not_be_null"),
        ("value", [float("inf")], "be_between"),
        ("position", [-1], "be_between"),
        ("propensity", [0.0], "be_between"),
        ("propensity", [1.5], "be_between"),
        ("positive", [None], "not_be_null"),
    ],
)
def test_each_fault_in_an_event_is_named(column: str, values: list[object], expectation: str) -> None:
    [line] = validate(replaced(good_events(), column, values), EVENTS).failed()
    assert line.startswith(f"events.{column}: expect_column_values_to_{expectation}")
    assert " of 12 rows" in line


def test_a_table_without_events_fails() -> None:
    [line] = validate(schema.LABELLED_EVENTS.empty_table(), EVENTS).failed()
    assert "row_count" in line
    assert line.endswith("observed 0")


def good_items() -> pa.Table:
    rows = [{"item_id": f"i{n}", "title": f"Item {n}" if n % 2 else None, "categories": ["a"] * n} for n in range(6)]
    return pa.Table.from_pylist(rows, schema.ITEMS)


def test_a_good_catalogue_passes() -> None:
    assert validate(good_items(), items.suite()).failed() == []


@pytest.mark.parametrize(
    ("column", "values", "named"),
    [
        ("item_id", ["i1"], "item_id"),
        ("item_id", [None], "item_id"),
        ("item_id", [""], "item_id"),
        ("categories", [None], "has_categories"),
        ("title", [None, ""], "has_content"),
    ],
)
def test_each_fault_in_a_catalogue_is_named(column: str, values: list[object], named: str) -> None:
    [line] = validate(replaced(good_items(), column, values), items.suite()).failed()
    assert line.startswith(f"items.{named}: ")


def test_how_much_content_a_catalogue_needs_is_an_argument() -> None:
    assert validate(good_items(), items.suite(items.Limits(content_share=0.4))).passed
    [line] = validate(good_items(), items.suite(items.Limits(content_share=0.6))).failed()
    assert "(mostly=0.6, value_set=[True]): 3 of 6 rows, such as False" in line


@pytest.mark.parametrize(
    ("ids", "passed"), [(["a", "b"], True), (["a", "a"], False), (["a", None], False), ([], False)]
)
def test_users_stand_once_and_have_ids(ids: list[str | None], passed: bool) -> None:
    report = validate(pa.table({"user_id": pa.array(ids, pa.string())}), users.suite())
    assert report.passed is passed
    assert all(line.startswith("users") for line in report.failed())
