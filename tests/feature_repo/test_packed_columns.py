"""Rows in bytes into columns, whatever the bytes are."""

from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Array, Bool, Float32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.errors import StoreUnavailableError
from feature_repo.schema import TIMESTAMP
from feature_repo.stores.packed_columns import Packed, decode, unpacked
from feature_repo.stores.packed_kernels import ABSENT
from feature_repo.stores.packed_layout import LENGTHS, NEVER, Layout, layout_of
from feature_repo.stores.packed_rows import encode, moments

NAMES = ("yes", "count", "share", "text", "texts", "numbers", "flags", "vector")
ROWS = [
    {"yes": True, "count": 1, "share": 0.5, "text": "a", "texts": ["b", "", "c"], "numbers": [1], "flags": [True]},
    {"yes": None, "count": None, "share": None, "text": None, "texts": None, "numbers": None, "flags": None},
    {"yes": False, "count": -1, "share": 2.0, "text": "", "texts": [], "numbers": [], "flags": [True, False] * 5},
    {"yes": True, "count": 2**62, "share": 0.0, "text": "ü" * 9, "texts": ["ü" * 9], "numbers": [7, 8], "flags": []},
]


def layout() -> Layout:
    kinds = {"yes": Bool, "count": Int64, "share": Float32, "text": String}
    kinds |= {"texts": Array(String), "numbers": Array(Int64), "flags": Array(Bool)}
    fields = [Field(name=name, dtype=kind) for name, kind in kinds.items()]
    fields.append(Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=2))
    view = FeatureView(
        name="items",
        entities=[Entity(name="item", join_keys=["item_id"], value_type=ValueType.STRING)],
        schema=[Field(name="item_id", dtype=String), *fields],
        source=FileSource(name="rows", path="rows.parquet", timestamp_field="event_timestamp"),
    )
    return layout_of("packed", view)


LAYOUT = layout()


def table() -> pa.Table:
    rows = [row | {"item_id": "i", "vector": None if row["yes"] is None else [1.0, 2.0]} for row in ROWS]
    moment = pa.array([datetime(2024, 1, 1 + day, tzinfo=UTC) for day in range(len(rows))], TIMESTAMP)
    return pa.Table.from_pylist(rows, LAYOUT.schema).append_column("event_timestamp", moment)


def packed() -> list[bytes]:
    return encode(LAYOUT, table(), moments(table()))


@given(places=st.lists(st.integers(ABSENT, len(ROWS) - 1), max_size=9), some=st.sets(st.sampled_from(NAMES)))
def test_rows_are_taken_by_their_places_and_absent_ones_are_null(places: list[int], some: set[str]) -> None:
    found = decode(LAYOUT, unpacked(LAYOUT, packed()).take(np.array(places, np.int64)), tuple(some))
    assert found.columns.keys() == some
    rows = table().to_pylist()
    for name, column in found.columns.items():
        column.validate(full=True)
        assert column.to_pylist() == [None if place == ABSENT else rows[place][name] for place in places]
    assert found.known.tolist() == [place != ABSENT for place in places]
    assert all((found.event_us == NEVER) == (np.array(places, np.int64) == ABSENT))


def test_rows_behind_others_are_those_of_both() -> None:
    all_rows, first, rest = (unpacked(LAYOUT, some) for some in (packed(), packed()[:1], packed()[1:]))
    assert equal(first.take(np.arange(len(ROWS)), rest), all_rows)
    assert equal(rest.take(np.array([3, 0, 1, 2]), first), all_rows)
    assert equal(all_rows.take(np.arange(len(ROWS))), all_rows)


def test_rows_of_former_moments_keep_those_alone() -> None:
    rows = unpacked(LAYOUT, packed())
    fresh_from = int(decode(LAYOUT, rows, ()).event_us[2])
    found = decode(LAYOUT, rows, NAMES, fresh_from)
    assert found.event_us.tolist() == decode(LAYOUT, rows, ()).event_us.tolist()
    whole = decode(LAYOUT, rows, NAMES)
    for name, column in found.columns.items():
        assert column.to_pylist() == [None, None, *whole.columns[name].to_pylist()[2:]]


@settings(max_examples=300)
@given(damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_rows_are_refused_or_read_within_their_bytes(damage: list[tuple[int, int]]) -> None:
    rows = bytearray(b"".join(packed()))
    for place, byte in damage:
        rows[place % len(rows)] = byte
    ends = np.cumsum([0, *map(len, packed())])
    try:
        found = decode(LAYOUT, unpacked(LAYOUT, [bytes(rows[a:b]) for a, b in pairwise(ends)]), NAMES)
    except StoreUnavailableError:
        return
    for column in found.columns.values():
        column.validate()


@pytest.mark.parametrize("number", range(LAYOUT.segments))
def test_lengths_that_are_not_those_of_the_tail_are_refused(number: int) -> None:
    rows = unpacked(LAYOUT, packed())
    heads = rows.heads.copy()
    heads[LENGTHS][0, number] += 1
    with pytest.raises(StoreUnavailableError, match="damaged"):
        decode(LAYOUT, Packed(LAYOUT, heads, rows.ends, rows.tails), NAMES)


def equal(one: Packed, other: Packed) -> bool:
    mine, theirs = (decode(LAYOUT, some, NAMES) for some in (one, other))
    return mine.columns == theirs.columns and mine.event_us.tolist() == theirs.event_us.tolist()
