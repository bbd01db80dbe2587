"""Conditions over random catalogues, against a reading of each item one by one."""

import operator
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import schema
from feature_repo.epoch import microseconds
from ranking.errors import RuleError
from ranking.strategy.rules.compiler import Compiler
from ranking.strategy.rules.conditions import at

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
ATTRIBUTES = [("price", pa.float64()), ("maker", pa.string()), ("fresh", pa.bool_()), ("stock", pa.int32())]


def table_of(rows) -> pa.Table:
    whole = pa.schema([*schema.ITEMS, *(pa.field(name, kind) for name, kind in ATTRIBUTES)])
    return pa.Table.from_pylist([{"item_id": f"i{n}"} | row for n, row in enumerate(rows)], whole)


items = st.fixed_dictionaries(
    {
        "categories": st.lists(st.sampled_from(["tea", "Tea", "pots"]), max_size=3),
        "created_at": st.none() | st.integers(0, 20).map(lambda days: NOW - timedelta(days=days)),
        "title": st.none() | st.sampled_from(["Green tea", "Black pot", ""]),
        "price": st.none() | st.sampled_from([-1.0, 0.0, 2.5, 3.0]),
        "maker": st.none() | st.sampled_from(["x", "y"]),
        "fresh": st.none() | st.booleans(),
        "stock": st.none() | st.integers(0, 2),
    }
)


@st.composite
def leaves(draw):
    """A comparison's text, and what it says of one item."""
    kind = draw(st.sampled_from(["number", "text", "list", "contains", "truth", "missing", "time", "age", "in"]))
    sign = draw(st.sampled_from(list(SIGNS)))
    number = draw(st.sampled_from([-1.0, 0.0, 2.5, 3.0, 7.0]))
    if kind == "number":
        name = draw(st.sampled_from(["price", "stock"]))
        return f"{name} {sign} {number:g}", lambda row: row[name] is not None and SIGNS[sign](row[name], number)
    if kind == "text":
        return 'maker != "x"', lambda row: row["maker"] != "x"
    if kind == "list":
        verb = draw(st.sampled_from(["has", "="]))
        return f'categories {verb} "tea"', lambda row: "tea" in row["categories"]
    if kind == "contains":
        return 'title has "TEA"', lambda row: "tea" in (row["title"] or "").lower()
    if kind == "truth":
        return draw(st.sampled_from(["fresh", "fresh = true"])), lambda row: row["fresh"] is True
    if kind == "missing":
        name = draw(st.sampled_from(["price", "maker", "fresh", "created_at", "categories"]))
        return f"{name} is missing", lambda row: row[name] in (None, [])
    if kind == "in":
        return "price not in (0, 2.5)", lambda row: row["price"] not in (0.0, 2.5)
    signs = {one: compare for one, compare in SIGNS.items() if one != "="}
    sign, days = draw(st.sampled_from(list(signs))), draw(st.integers(0, 20))
    if kind == "time":
        moment = NOW - timedelta(days=days)
        text = f'created_at {sign} "{moment:%Y-%m-%d}"'
        return text, lambda row: row["created_at"] is not None and signs[sign](row["created_at"], moment)
    text, length = f"age {sign} {days} days", timedelta(days=days)
    return text, lambda row: row["created_at"] is not None and signs[sign](NOW - row["created_at"], length)


def joined(parts):
    return st.one_of(
        parts.map(lambda one: (f"not ({one[0]})", lambda row: not one[1](row))),
        st.tuples(parts, parts).map(
            lambda two: (f"({two[0][0]}) and ({two[1][0]})", lambda row: two[0][1](row) and two[1][1](row))
        ),
        st.tuples(parts, parts).map(
            lambda two: (f"({two[0][0]}) or ({two[1][0]})", lambda row: two[0][1](row) or two[1][1](row))
        ),
    )


@settings(max_examples=200)
@given(st.lists(items, min_size=1, max_size=12), st.recursive(leaves(), joined, max_leaves=5))
def test_a_condition_chooses_what_a_reading_item_by_item_chooses(rows, condition):
    text, holds = condition
    rules = Compiler(table_of(rows)).compile([f"exclude where {text}"])
    expected = [not holds(row) for row in rows]
    if rules.filters:
        assert at(rules.filters[0].mask, microseconds(NOW)).tolist() == expected
    else:  # no item matches
        assert all(expected)


def test_only_in_stock_keeps_what_is_known_to_be_in_stock():
    rows = [{"categories": [], "stock": one} for one in (0, 2, None)]
    (rule,) = Compiler(table_of(rows)).compile(["only in stock"]).filters
    assert rule.mask.tolist() == [False, True, False]


def test_the_moment_counts_anew_for_each_request():
    table = table_of([{"categories": [], "created_at": NOW - timedelta(days=5)}])
    (rule,) = Compiler(table).compile(["include where age < 7 days"]).filters
    assert at(rule.mask, microseconds(NOW)).tolist() == [True]
    assert at(rule.mask, microseconds(NOW + timedelta(days=3))).tolist() == [False]


def test_columns_of_other_arrow_types_are_read_alike():
    table = table_of([{"categories": ["a"]}, {"categories": []}])
    table = table.append_column("shelf", pa.array(["x", "y"]).dictionary_encode())
    table = table.append_column("day", pa.array([datetime(2026, 1, 1).date(), None], pa.date32()))
    table = table.append_column("tags", pa.array([["n"], None], pa.large_list(pa.large_string())))
    table = table.append_column("whole", pa.array([2**60, 3], pa.int64()))
    table = table.append_column("vector", pa.array([[0.5], [0.5]], pa.list_(pa.float32())))
    compiler = Compiler(table)
    for text in ('shelf = "x"', 'day >= "2026-01-01"', 'tags has "n"', "whole > 1000"):
        (rule,) = compiler.compile([f"include where {text}"]).filters
        assert np.asarray(rule.mask).tolist() == [True, False], text
    with pytest.raises(RuleError, match="no column 'vector'"):
        compiler.compile(["exclude where vector is missing"])
