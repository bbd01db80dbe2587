"""The only runner of sql/: behavioural features of users and items at any moments, offline and online alike.

A view's SQL reads two relations and nothing else: `spine(entity key, event_timestamp)`, the moments asked for, and
`events`. Offline the spine holds every change of every entity, which makes a feature a step function of time that a
point-in-time join reads exactly at any moment. Online it holds one moment an entity. The text is the same.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema

SQL: Final = Path(__file__).parent / "sql"
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
TICK: Final = timedelta(microseconds=1)  # what happened at a moment is known one microsecond later


READ: Final = pa.schema(  # columns of `events` in a view's SQL
    [
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.USER_ID, schema.ITEM_ID, schema.OCCURRED_AT)),
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.WEIGHT, schema.POSITIVE, schema.VALUE)),
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.DEVICE, schema.PLACE)),
        pa.field(schema.CATEGORIES, pa.list_(pa.string())),
    ]
)

_LISTED: Final = 400  # from about 500 events on a table is quicker


@dataclass(frozen=True)
class Behaviour:
    """One behavioural view: whose it is, and when it changes.

    key: the entity's column. windows: after how long an event leaves a feature again, as in the view's SQL.
    exposures: whether events of weight 0 count in it.
    """

    key: str
    windows: tuple[timedelta, ...] = ()
    exposures: bool = False


_WINDOWS: Final = tuple(timedelta(days=days) for days in (1, 7, 28, 365))

BEHAVIOUR: Final[Mapping[str, Behaviour]] = {
    "user_activity": Behaviour(schema.USER_ID, _WINDOWS, exposures=True),
    "user_item_affinity": Behaviour(schema.USER_ID),
    "item_popularity": Behaviour(schema.ITEM_ID, _WINDOWS, exposures=True),
    "item_context": Behaviour(schema.ITEM_ID),
}


def change_spine(view: str, events: pa.Table, *, until: datetime | None = None) -> pa.Table:
    """Every moment at which a feature of the view changes: (entity key, event_timestamp), distinct.

    An event counts from `occurred_at` + 1 us on and leaves a window of length w at `occurred_at` + w + 1 us. Moments
    after `until` (default: 1 us after the last event) are left out: that far the data are known.
    """
    behaviour = BEHAVIOUR[view]
    with _connect() as duck:
        duck.register("events", events)
        rows = duck.sql(
            _text("change_spine"),
            params={
                "key": behaviour.key,
                "delays": [TICK, *(window + TICK for window in behaviour.windows)],
                "exposures": behaviour.exposures,
                "until": until,
            },
        ).to_arrow_table()
    return rows.rename_columns([behaviour.key, schema.EVENT_TIMESTAMP])


def view_rows(
    view: str, events: pa.Table, items: pa.Table, *, spine: pa.Table | None = None, until: datetime | None = None
) -> pa.Table:
    """Rows of a behavioural view: entity key, event_timestamp, features, in that order; none before any history.

    events: `schema.LABELLED_EVENTS`, at least all of the spine's entities. items: `schema.ITEMS`, for their
    categories. spine: (entity key, event_timestamp), distinct; default all changes up to `until`.
    """
    with _over(events, items) as duck:
        return _rows(duck, view, change_spine(view, events, until=until) if spine is None else spine)


def rows_at(
    events: pa.Table,
    items: pa.Table,
    *,
    at: datetime,
    users: Sequence[str] = (),
    item_ids: Sequence[str] = (),
) -> dict[str, pa.Table]:
    """Rows of every behavioural view of some users and items at one moment, by view; made for few of them, and quick.

    events: `schema.LABELLED_EVENTS`, at least all of these users and items before `at`. items: `schema.ITEMS`, at least
    those of the events.
    """
    asked = {schema.USER_ID: pa.array(users, pa.string()), schema.ITEM_ID: pa.array(item_ids, pa.string())}

    def of(key: str) -> dict[str, pa.Table]:
        theirs = events.filter(pc.is_in(events[key], asked[key]))
        return _small(key).rows(asked[key], at, _with_categories(theirs, items))

    tables = _pool().map(of, [key for key in asked if len(asked[key])])
    return {name: rows for of_key in tables for name, rows in of_key.items()}


def content_rows(items: pa.Table) -> pa.Table:
    """Rows of `item_content`: one an item, at its creation."""
    with _connect() as duck:
        duck.register("items", items)
        return duck.sql(_text("item_content")).to_arrow_table()


@contextmanager
def _over(events: pa.Table, items: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which `events` are the events with their items' categories."""
    with _connect() as duck:
        duck.register("labelled", events)
        duck.register("catalogue", items.select([schema.ITEM_ID, schema.CATEGORIES]))
        columns = ", ".join(READ.names)
        duck.execute(f"create temp table events as select {columns} from labelled left join catalogue using (item_id)")
        yield duck


def definition(view: str) -> str:
    """Changes when the SQL of a behavioural view does."""
    return blake2b(_text(view).encode(), digest_size=8).hexdigest()


def _rows(duck: duckdb.DuckDBPyConnection, view: str, spine: pa.Table) -> pa.Table:
    duck.register("spine", spine)
    rows = duck.sql(_text(view))
    return rows.order(f"{BEHAVIOUR[view].key}, {schema.EVENT_TIMESTAMP}").to_arrow_table()


def _with_categories(events: pa.Table, items: pa.Table) -> pa.Table:
    """What the views read as `events`."""
    place = pc.index_in(events[schema.ITEM_ID], items[schema.ITEM_ID].combine_chunks())
    events = events.append_column(schema.CATEGORIES, items[schema.CATEGORIES].take(place))
    return events.select(READ.names).cast(READ)


class _Small:
    """The views of one kind of entity, their statements ready, on a connection of its own; for few entities.

    At a few hundred events a query's time is that of parsing and planning it. DuckDB keeps the plan of a prepared
    statement only where that reads no table, so up to `_LISTED` events `spine` and `events` are made of parameters:
    lists, which a statement takes from variables. That halves the time. Lists of many events are slow, so more of them
    are read as a table, by a statement that is parsed once and planned anew.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._duck = _small_database().cursor()
        self._duck.execute("set timezone = 'UTC'")
        self._one_at_a_time = threading.Lock()
        self._set_variables(pa.array([], pa.string()), EARLIEST, READ.empty_table())
        (kind,) = self._duck.sql("select getvariable('events')").types
        self._columns: dict[str, pa.Schema] = {}
        self._planned: dict[str, duckdb.Statement] = {}
        self._parsed: dict[str, duckdb.Statement] = {}
        for name in [name for name, view in BEHAVIOUR.items() if view.key == key]:
            self._duck.execute(
                f"prepare {name} as with "
                f"spine as (select unnest($1::varchar[]) as {key}, $2::timestamptz as event_timestamp), "
                f"events as (select unnest($3::{kind}, max_depth := 2)) "
                f"select * from ({_text(name)})"
            )
            call = f"execute {name}(getvariable('ids'), getvariable('moment'), getvariable('events'))"
            self._columns[name] = self._duck.sql(call).to_arrow_table().schema
            (self._planned[name],) = self._duck.extract_statements(call)
            (self._parsed[name],) = self._duck.extract_statements(_text(name))

    def rows(self, ids: pa.Array, at: datetime, events: pa.Table) -> dict[str, pa.Table]:
        """Rows of each view, in order of the entity."""
        with self._one_at_a_time:
            if len(events) > _LISTED:
                self._duck.register("spine", _spine(self._key, ids, at))
                self._duck.register("events", events)
                return {name: self._rows(name, statement) for name, statement in self._parsed.items()}
            self._set_variables(ids, at, events)
            return {name: self._rows(name, statement) for name, statement in self._planned.items()}

    def _set_variables(self, ids: pa.Array, at: datetime, events: pa.Table) -> None:
        self._duck.register("given", events)
        self._duck.execute("set variable events = (select list(given) from given)")
        self._duck.execute("set variable ids = $1", [ids.to_pylist()])
        self._duck.execute("set variable moment = $1", [at])

    def _rows(self, view: str, statement: duckdb.Statement) -> pa.Table:
        columns = self._columns[view]
        found = self._duck.execute(statement).fetchall()
        found.sort(key=lambda row: row[0])  # few: Arrow would take longer
        values = zip(*found, strict=True) if found else ((),) * len(columns)
        arrays = [pa.array(one, kind) for one, kind in zip(values, columns.types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=columns)


def _spine(key: str, ids: pa.Array, at: datetime) -> pa.Table:
    return pa.table({key: ids, schema.EVENT_TIMESTAMP: pa.repeat(pa.scalar(at, schema.TIMESTAMP), len(ids))})


@cache
def _small(key: str) -> _Small:
    return _Small(key)


@cache
def _small_database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})  # a query of few rows only waits for further threads


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="features")  # users and items


@cache
def _text(view: str) -> str:
    return (SQL / f"{view}.sql").read_text()


@cache
def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()  # opening one costs more than a small query


def _connect() -> duckdb.DuckDBPyConnection:
    """A connection of its own to one database in memory; its temporary tables are its own, too."""
    duck = _database().cursor()
    duck.execute("set timezone = 'UTC'")  # hours and weekdays in SQL are the connection's
    return duck
