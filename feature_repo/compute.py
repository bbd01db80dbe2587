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
from functools import cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from duckdb.func import PythonUDFType
from duckdb.sqltypes import BIGINT

from feature_repo import schema
from feature_repo.epoch import EPOCH

SQL: Final = Path(__file__).parent / "sql"
TICK: Final = timedelta(microseconds=1)  # what happened at a moment is known one microsecond later
LIVE: Final = timedelta(days=2)  # data whose last event is older are an archive, and keep their own time


READ: Final = pa.schema(  # columns of `events` in a view's SQL
    [
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.USER_ID, schema.ITEM_ID, schema.OCCURRED_AT)),
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.WEIGHT, schema.POSITIVE, schema.VALUE)),
        *(schema.LABELLED_EVENTS.field(name) for name in (schema.DEVICE, schema.PLACE)),
        pa.field(schema.CATEGORIES, pa.list_(pa.string())),
    ]
)

_FEW: Final = 64  # entities: up to so many DuckDB joins by a loop over them, which is what `_Kept` plans


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
    theirs = {key: events.filter(pc.is_in(events[key], ids)) for key, ids in asked.items() if len(ids)}
    spines = {key: _spine(key, asked[key], at) for key in theirs}
    views = {name: view.key for name, view in BEHAVIOUR.items() if view.key in theirs}
    if max(len(users), len(item_ids)) > _FEW:
        return {name: view_rows(name, theirs[key], items, spine=spines[key]) for name, key in views.items()}
    read = {key: _with_categories(table, items) for key, table in theirs.items()}
    rows = _pool().map(lambda name: _kept(name).rows(spines[views[name]], read[views[name]]), views)
    return dict(zip(views, rows, strict=True))


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


class _Kept:
    """A view's statement, planned once, on a database of its own; for few entities, of any number of events.

    At a few hundred events most of a query's time would be that of planning it. DuckDB keeps the plan of a prepared
    statement only where that reads no table, so `spine` and `events` are what two functions answer: Arrow lists, which
    are unnested. The plan is one for few rows of the spine, as DuckDB knows nothing of these lists.
    """

    def __init__(self, view: str) -> None:
        self._duck = duckdb.connect(config={"threads": 1})  # further threads would only wait for each other
        self._duck.execute("set timezone = 'UTC'")
        self._one_at_a_time = threading.Lock()
        key = BEHAVIOUR[view].key
        self._given = {"spine": _spine(key, pa.array([], pa.string()), EPOCH), "events": READ.empty_table()}
        for name, rows in self._given.items():
            self._duck.register("given", rows)
            (kind,) = self._duck.sql("select list(given) from given").types
            answer = partial(self._list_of, name)
            self._duck.create_function(name, answer, [BIGINT], kind, type=PythonUDFType.ARROW, side_effects=True)
        self._duck.execute(
            "prepare kept as with "
            "spine as materialized (select unnest(spine(0), max_depth := 2)), "
            "events as materialized (select unnest(events(0), max_depth := 2)) "
            f"select * from ({_text(view)})"
        )
        self._columns = self._duck.sql("execute kept").to_arrow_table().schema
        (self._statement,) = self._duck.extract_statements("execute kept")

    def rows(self, spine: pa.Table, events: pa.Table) -> pa.Table:
        """The view's rows, in order of the entity. events: `READ`."""
        with self._one_at_a_time:
            self._given = {"spine": spine, "events": events}
            found = self._duck.execute(self._statement).fetchall()
        found.sort(key=lambda row: row[0])  # few: Arrow would take longer
        values = zip(*found, strict=True) if found else ((),) * len(self._columns)
        arrays = [pa.array(one, kind) for one, kind in zip(values, self._columns.types, strict=True)]
        return pa.Table.from_arrays(arrays, schema=self._columns)

    def _list_of(self, name: str, _: pa.ChunkedArray) -> pa.Array:
        """What is given under a name, as one list of rows."""
        rows = self._given[name].combine_chunks().to_struct_array()
        whole = rows if isinstance(rows, pa.Array) else pa.concat_arrays(rows.chunks or [pa.array([], rows.type)])
        return pa.ListArray.from_arrays(pa.array([0, len(whole)], pa.int32()), whole)


def _spine(key: str, ids: pa.Array, at: datetime) -> pa.Table:
    return pa.table({key: ids, schema.EVENT_TIMESTAMP: pa.repeat(pa.scalar(at, schema.TIMESTAMP), len(ids))})


@cache
def _kept(view: str) -> _Kept:
    return _Kept(view)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(2, thread_name_prefix="features")


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
