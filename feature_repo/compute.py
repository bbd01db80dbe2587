"""The only runner of sql/: behavioural features of users and items at any moments, offline and online alike.

A view's SQL reads two relations and nothing else: `spine(entity key, event_timestamp)`, the moments asked for, and
`events`. Offline the spine holds every change of every entity, which makes a feature a step function of time that a
point-in-time join reads exactly at any moment. Online it holds one moment an entity. The text is the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

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
    """Rows of every behavioural view of some users and items at one moment, by view.

    events: `schema.LABELLED_EVENTS`, at least all of these users and items before `at`.
    """
    ids = {schema.USER_ID: users, schema.ITEM_ID: item_ids}
    spines = {
        key: pa.table(
            {key: pa.array(of_key, pa.string()), schema.EVENT_TIMESTAMP: pa.array([at] * len(of_key), schema.TIMESTAMP)}
        )
        for key, of_key in ids.items()
        if of_key
    }
    with _over(events, items) as duck:
        return {name: _rows(duck, name, spines[view.key]) for name, view in BEHAVIOUR.items() if view.key in spines}


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


def definition(view: str) -> str:
    """Changes when the SQL of a behavioural view does."""
    return blake2b(_text(view).encode(), digest_size=8).hexdigest()


def _rows(duck: duckdb.DuckDBPyConnection, view: str, spine: pa.Table) -> pa.Table:
    duck.register("spine", spine)
    rows = duck.sql(_text(view))
    return rows.order(f"{BEHAVIOUR[view].key}, {schema.EVENT_TIMESTAMP}").to_arrow_table()


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
