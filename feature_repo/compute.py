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
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema

SQL: Final = Path(__file__).parent / "sql"
TICK: Final = timedelta(microseconds=1)  # what happened at a moment is known one microsecond later


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
    ids = {schema.USER_ID: pa.array(users, pa.string()), schema.ITEM_ID: pa.array(item_ids, pa.string())}
    spines = {
        key: pa.table({key: of_key, schema.EVENT_TIMESTAMP: pa.repeat(pa.scalar(at, schema.TIMESTAMP), len(of_key))})
        for key, of_key in ids.items()
        if len(of_key)
    }
    theirs = {key: _with_categories(events.filter(pc.is_in(events[key], ids[key])), items) for key in spines}
    views = [(name, view.key) for name, view in BEHAVIOUR.items() if view.key in spines]
    tables = _pool().map(lambda one: _small_view(one[0]).rows(spines[one[1]], theirs[one[1]]), views)
    return {name: rows for (name, _), rows in zip(views, tables, strict=True)}


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
        duck.execute("create temp table events as select * from labelled left join catalogue using (item_id)")
        yield duck


def _rows(duck: duckdb.DuckDBPyConnection, view: str, spine: pa.Table) -> pa.Table:
    duck.register("spine", spine)
    rows = duck.sql(_text(view))
    return rows.order(f"{BEHAVIOUR[view].key}, {schema.EVENT_TIMESTAMP}").to_arrow_table()


def _with_categories(events: pa.Table, items: pa.Table) -> pa.Table:
    """What the views read as `events`."""
    place = pc.index_in(events[schema.ITEM_ID], items[schema.ITEM_ID].combine_chunks())
    return events.append_column(schema.CATEGORIES, items[schema.CATEGORIES].take(place))


class _SmallView:
    """A view's statement, parsed once, on a connection of its own; for few entities and one thread at a time.

    At a few hundred events a query's time is that of parsing and planning it: five of six milliseconds. DuckDB plans a
    prepared statement anew whenever it reads a table, so what can be saved is the parsing, and the copy of the events.
    """

    def __init__(self, view: str) -> None:
        self._duck = _small_database().cursor()
        self._duck.execute("set timezone = 'UTC'")
        (self._statement,) = self._duck.extract_statements(_text(view))
        self._key = BEHAVIOUR[view].key
        self._columns: pa.Schema | None = None
        self._one_at_a_time = threading.Lock()

    def rows(self, spine: pa.Table, events: pa.Table) -> pa.Table:
        """The view's rows, in order of the entity."""
        with self._one_at_a_time:
            self._duck.register("spine", spine)
            self._duck.register("events", events)
            if self._columns is None:
                self._columns = self._duck.sql(self._statement).limit(0).to_arrow_table().schema
            found = self._duck.execute(self._statement).fetchall()
        values = zip(*found, strict=True) if found else ((),) * len(self._columns)
        columns = [pa.array(column, kind) for column, kind in zip(values, self._columns.types, strict=True)]
        return pa.Table.from_arrays(columns, schema=self._columns).sort_by(self._key)


@cache
def _small_view(view: str) -> _SmallView:
    return _SmallView(view)


@cache
def _small_database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})  # a query of few rows only waits for further threads


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(len(BEHAVIOUR), thread_name_prefix="feature-view")


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
