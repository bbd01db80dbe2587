"""A column of a file in Trichord's own type: what can be read is, the rest is marked bad value by value."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from feature_repo import schema
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.errors import DatasetError

NUMBER: Final = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
YEARS: Final = (-9_214_560_000, 9_214_646_400)  # seconds from 1678 to 2262: what pandas' nanoseconds can hold


@dataclass(frozen=True)
class Reading:
    """How columns become one type: which are taken, how they are read (null where they cannot be), and the words."""

    takes: Callable[[pa.DataType], bool]
    read: Callable[[pa.ChunkedArray], pa.ChunkedArray]
    accepted: str
    reason: str


def conform(parts: Mapping[str, pa.Table], want: pa.Schema, *, required: Collection[str], sieve: Sieve) -> pa.Table:
    """One table of all files (by name): first the columns of `want` in their types, then the others, then `SOURCE`.

    Rows with a value that cannot be read are rejected; an optional column that a file lacks is null there.

    Raises:
        DatasetError: a required column is missing, or a column's type can never be read.
    """
    tables = [_conform_file(file, table, want, required=required, sieve=sieve) for file, table in parts.items()]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"{', '.join(parts)}: {reason}; accepted: one type a column; write it alike") from error
    others = [name for name in table.column_names if name not in {*want.names, SOURCE}]
    return table.select([*want.names, *others, SOURCE]).combine_chunks()


def look_up(ids: pa.ChunkedArray, keys: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The value of each id, the first if its key stands there twice, null if it does not."""
    return values.take(pc.index_in(ids, keys.cast(pa.string()).combine_chunks()))


def _conform_file(file: str, table: pa.Table, want: pa.Schema, *, required: Collection[str], sieve: Sieve) -> pa.Table:
    missing = [name for name in want.names if name in required and name not in table.column_names]
    if missing:
        raise DatasetError(
            f"{file}: no column {', '.join(missing)}; found: {str(table.column_names[:-1])[:200]}; "
            f"accepted: {', '.join(want.names)} (required: {', '.join(required)}); add or rename the column"
        )
    for name in set(want.names).difference(table.column_names):
        table = table.append_column(name, pa.nulls(table.num_rows))
    for name, kind in zip(want.names, want.types, strict=True):
        given = _plain(table[name])
        reading = READINGS[kind]
        remedy = f"accepted: {reading.accepted}"
        if not reading.takes(given.type):
            raise DatasetError(f"{file}: column {name} is {given.type}; {remedy}; convert it when writing the file")
        values = reading.read(given)
        table = table.set_column(table.column_names.index(name), name, values)
        bad = pc.and_(pc.is_null(values), pc.invert(_is_absent(given)))
        table = sieve.reject_values(table, bad, reading.reason, column=name, values=given, remedy=remedy)
    return table


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without dictionaries and without the larger forms of strings."""
    if is_a.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if is_a.is_null(column.type) or is_a.is_large_string(column.type) or is_a.is_string_view(column.type):
        column = column.cast(pa.string())
    return column


def _is_absent(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Null or blank: not given at all, as against given and unreadable."""
    if not is_a.is_string(column.type):
        return pc.is_null(column)
    return pc.fill_null(pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0), True)


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.if_else(_is_absent(column), None, column.cast(pa.string()))


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if is_a.is_string(column.type):
        is_number = pc.match_substring_regex(column, NUMBER)
        column = pc.utf8_trim_whitespace(pc.if_else(is_number, column, None))
    values = column.cast(pa.float64(), safe=False)  # epochs in nanoseconds are too large to be exact
    return pc.if_else(pc.is_finite(values), values, None)


def _floats(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = _numbers(column).cast(pa.float32(), safe=False)
    return pc.if_else(pc.is_finite(values), values, None)


def _ints(column: pa.ChunkedArray) -> pa.ChunkedArray:
    values = _numbers(column)
    fits = pc.and_(pc.equal(values, pc.floor(values)), pc.less(pc.abs(values), 2.0**31))
    return pc.if_else(fits, values, None).cast(pa.int32())


def _times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if is_a.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if is_a.is_timestamp(column.type):
        times = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(schema.TIMESTAMP)
    else:
        seconds = _numbers(column)
        in_range = pc.and_(pc.greater_equal(seconds, YEARS[0]), pc.less(seconds, YEARS[1]))
        micros = pc.round(pc.multiply(pc.if_else(in_range, seconds, None), 1e6)).cast(pa.int64())
        times = micros.cast(schema.TIMESTAMP)
        if is_a.is_string(column.type):
            times = pc.coalesce(times, _iso_times(pc.if_else(pc.is_null(seconds), column, None)))
    first, last = (pa.scalar(second * 1_000_000, pa.int64()).cast(schema.TIMESTAMP) for second in YEARS)
    in_range = pc.and_(pc.greater_equal(times, first), pc.less(times, last))
    return pc.if_else(in_range, times, None)


def _iso_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts that start with a digit as times; without an offset they are UTC. Arrow cannot cast value by value."""
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), schema.TIMESTAMP)])
    starts = pc.match_substring_regex(column, r"^\s*\d")  # DuckDB also reads 'epoch' and 'infinity'
    texts = pa.table({"text": pc.if_else(starts, column, None)})
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("texts", texts)
        times = connection.sql("select try_cast(text as timestamptz) as time from texts").to_arrow_table()
    return times["time"].cast(schema.TIMESTAMP)


def _lists(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if is_a.is_string(column.type):
        column = pc.split_pattern(column, "|")
    lists = column.combine_chunks().cast(pa.list_(pa.string()))
    values = pc.utf8_trim_whitespace(pc.list_flatten(lists))
    keep = pc.fill_null(pc.greater(pc.utf8_length(values), 0), False)
    parents = pc.list_parent_indices(lists).to_numpy().astype(np.int64)[keep.to_numpy(zero_copy_only=False)]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(parents, minlength=len(lists)))]).astype(np.int32)
    return pa.chunked_array([pa.ListArray.from_arrays(pa.array(offsets), values.filter(keep))])


def _is_text(kind: pa.DataType) -> bool:
    return bool(is_a.is_string(kind) or is_a.is_integer(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(is_a.is_string(kind) or is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_decimal(kind))


def _is_time(kind: pa.DataType) -> bool:
    return _is_number(kind) or bool(is_a.is_timestamp(kind) or is_a.is_date(kind))


def _is_list(kind: pa.DataType) -> bool:
    nested = is_a.is_list(kind) or is_a.is_large_list(kind)
    texts = {pa.string(), pa.large_string(), pa.null()}
    return bool(is_a.is_string(kind) or (nested and kind.value_type in texts))


READINGS: Final = {
    pa.string(): Reading(_is_text, _texts, "text or whole numbers", "bad_text"),
    pa.float32(): Reading(_is_number, _floats, "finite numbers", "bad_number"),
    pa.int32(): Reading(_is_number, _ints, "whole numbers below 2^31", "bad_number"),
    schema.TIMESTAMP: Reading(
        _is_time, _times, "ISO 8601 times (UTC if without offset) or epoch seconds, from 1678 to 2261", "bad_time"
    ),
    pa.list_(pa.string()): Reading(_is_list, _lists, "lists of text, or text like a|b|c", "bad_list"),
}
