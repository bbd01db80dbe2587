"""Events as the log keeps them: their columns, and its files as one relation of DuckDB."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import pyarrow as pa
from duckdb import ColumnExpression, ConstantExpression

from feature_repo import schema
from feature_repo.errors import EventLogError
from feature_repo.write_ahead import Position

RECEIVED_AT: Final = "received_at"
STORED: Final = schema.EVENTS.append(pa.field(RECEIVED_AT, schema.TIMESTAMP))

News: TypeAlias = tuple[pa.Table, Position, list[str]]  # events, up to where, and ids of those in wal.log


def relation(
    con: duckdb.DuckDBPyConnection,
    fresh: pa.Table,
    files: Sequence[Path],
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    received: bool = False,
) -> duckdb.DuckDBPyRelation:
    """Rows of a table and of Parquet files with since <= occurred_at < until, in no order; received: see `STORED`."""
    names = STORED.names if received else schema.EVENTS.names
    chosen = con.from_arrow(fresh.select(names))
    if files:
        read = con.read_parquet([str(file) for file in files], hive_partitioning=False, union_by_name=received)
        chosen = chosen.union(read.select(*(_column_of(read, name) for name in names)))
    at = ColumnExpression(schema.OCCURRED_AT)
    if since is not None:
        chosen = chosen.filter(at >= ConstantExpression(since))
    if until is not None:
        chosen = chosen.filter(at < ConstantExpression(until))
    return chosen


def conform(events: pa.Table) -> pa.Table:
    """The columns of `schema.EVENTS` in its types; EventLogError for one that is missing, or holds what it may not."""
    missing = [name for name in schema.EVENTS.names if name not in events.column_names]
    if missing:
        raise EventLogError(f"events lack the columns {', '.join(missing)}; the log takes {schema.EVENTS.names}")
    return pa.Table.from_arrays([_column(events[field.name], field) for field in schema.EVENTS], schema=schema.EVENTS)


@contextmanager
def duckdb_in_utc() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own, whose times are in UTC."""
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        yield con


def is_in(column: str, wanted: Collection[str]) -> duckdb.Expression:
    """Whether a column holds one of some values; never for none."""
    if not wanted:
        return ConstantExpression(False)
    return ColumnExpression(column).isin(*(ConstantExpression(one) for one in wanted))


def utc(moment: datetime | None) -> datetime | None:
    """A moment that has a time zone; EventLogError for another."""
    if moment is not None and moment.tzinfo is None:
        raise EventLogError(f"{moment} has no time zone; give a moment in UTC: datetime(..., tzinfo=UTC)")
    return moment


def _column(values: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    if values.null_count and not field.nullable:
        raise EventLogError(f"events.{field.name} has {values.null_count} nulls; every event needs one: fill them in")
    try:
        return values.cast(field.type)
    except pa.ArrowException as error:
        raise EventLogError(f"events.{field.name} is no {field.type}: {error}; cast it first") from error


def _column_of(read: duckdb.DuckDBPyRelation, name: str) -> duckdb.Expression:
    """A column, or nulls where files of an earlier version have no such one."""
    return ColumnExpression(name) if name in read.columns else ConstantExpression(None).cast("timestamptz").alias(name)
