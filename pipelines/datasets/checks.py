"""The row rules that every dataset passes, whatever files it came from."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.rejected import Rejected
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.media import media_problem
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.datasets.vectors import check_vectors
from pipelines.errors import DatasetError

logger = logging.getLogger(__name__)

CLOCK_SKEW: Final = timedelta(minutes=5)  # how far another machine's clock may be ahead of ours

REQUIRED: Final = {
    "items": (schema.ITEM_ID,),
    "users": (schema.USER_ID,),
    "events": (schema.USER_ID, schema.ITEM_ID, schema.KIND, schema.OCCURRED_AT),
}
PARTED_EVENTS: Final = schema.EVENTS.append(pa.field(schema.PART, pa.string()))
WANTED: Final = {"items": schema.ITEMS, "users": schema.USERS, "events": PARTED_EVENTS}


def sieves(rejected: Rejected) -> dict[str, Sieve]:
    """A sieve for each of items, users, events and vectors, all counting into `rejected`."""
    keys = {"items": schema.ITEM_ID, "users": schema.USER_ID, "events": schema.EVENT_ID}
    keys |= {f"{modality}_vectors": schema.ITEM_ID for modality in schema.Modality}
    return {table: Sieve(table, key, rejected) for table, key in keys.items()}


def check_dataset(
    name: str,
    *,
    items: pa.Table,
    users: pa.Table | None,
    events: pa.Table,
    kinds: Sequence[schema.EventKind],
    media_root: Path,
    now: datetime,
    rejected: Rejected,
    vectors: Mapping[schema.Modality, pa.Table] | None = None,
) -> Dataset:
    """The dataset of tables that `columns.conform` made, without the rows that break a rule.

    vectors: as `vectors.read_vectors` gives them.

    Raises:
        DatasetError: no item, no event or no vector of a given modality is left, or too little of the dataset's own
            split.
    """
    sieve = sieves(rejected)
    given = {
        modality: check_vectors(table, items[schema.ITEM_ID], sieve[f"{modality}_vectors"])
        for modality, table in (vectors or {}).items()
    }
    for modality, table in given.items():
        _demand_rows(name, f"{modality}_vectors", table, rejected)
    good_items = check_items(items, media_root, sieve["items"], known=[one[schema.ITEM_ID] for one in given.values()])
    _demand_rows(name, "items", good_items, rejected)
    good_events = check_events(events, good_items[schema.ITEM_ID], kinds, now=now, sieve=sieve["events"])
    _demand_rows(name, "events", good_events, rejected)
    _demand_parts(name, good_events)
    good_users = check_users(users, good_events[schema.USER_ID], sieve["users"])
    for line in rejected.summary():
        logger.warning("%s: %s", name, line)
    return Dataset(name, good_items, good_users, good_events, tuple(kinds), media_root, rejected, given)


def check_items(items: pa.Table, media_root: Path, sieve: Sieve, *, known: Sequence[pa.ChunkedArray] = ()) -> pa.Table:
    """Items with distinct ids, in file order; media that cannot be read are emptied, items without any content kept.

    known: ids of items that have a vector, and so content, whatever else they have.
    """
    items = _with_distinct(items, schema.ITEM_ID, sieve)
    for column in (schema.IMAGE, schema.AUDIO, schema.VIDEO):
        items = _without_bad_media(items, column, media_root, sieve)
    content = [schema.TITLE, schema.DESCRIPTION, schema.IMAGE, schema.AUDIO, schema.VIDEO]
    bare = pc.is_null(pc.coalesce(*(items[column] for column in content)))
    for ids in known:
        bare = pc.and_(bare, pc.invert(pc.is_in(items[schema.ITEM_ID], ids.combine_chunks())))
    sieve.count(
        items,
        bare,
        "no_content",
        column="content",
        values=pa.chunked_array([pa.nulls(items.num_rows)]),
        remedy=f"kept, but known by behaviour alone; give one of {', '.join(content)}",
    )
    return _in_schema(items, schema.ITEMS)


def check_events(
    events: pa.Table, item_ids: pa.ChunkedArray, kinds: Sequence[schema.EventKind], *, now: datetime, sieve: Sieve
) -> pa.Table:
    """Events of known items and kinds until now, ascending in occurred_at, each with an id of its own.

    Of a dataset with a split of its own each names its part; else there is no such column.
    """
    for column in REQUIRED["events"]:
        events = _with_value(events, column, sieve)
    names = [kind.name for kind in kinds]
    unknown = pc.invert(pc.is_in(events[schema.KIND], pa.array(names, pa.string())))
    remedy = f"accepted: {', '.join(names)}; declare the kind or mend the row"
    events = sieve.reject(events, unknown, "unknown_kind", column=schema.KIND, remedy=remedy)
    unknown = pc.invert(pc.is_in(events[schema.ITEM_ID], item_ids.combine_chunks()))
    remedy = "not among the items; add the item or mend the id"
    events = sieve.reject(events, unknown, "unknown_item", column=schema.ITEM_ID, remedy=remedy)
    latest = now + CLOCK_SKEW
    future = pc.greater(events[schema.OCCURRED_AT], pa.scalar(latest, schema.TIMESTAMP))
    remedy = f"accepted: until {latest:%Y-%m-%dT%H:%M:%SZ}; epoch times are in seconds"
    events = sieve.reject(events, future, "future_time", column=schema.OCCURRED_AT, remedy=remedy)
    bad = pc.less(events[schema.POSITION], 0)
    events = sieve.reject(events, bad, "bad_position", column=schema.POSITION, remedy="accepted: 0, 1, 2 and so on")
    bad = pc.or_(pc.less_equal(events[schema.PROPENSITY], 0), pc.greater(events[schema.PROPENSITY], 1))
    remedy = "accepted: above 0, up to 1"
    events = sieve.reject(events, bad, "bad_propensity", column=schema.PROPENSITY, remedy=remedy)
    events = _of_known_parts(events, sieve)
    bad = _repeats(events[schema.EVENT_ID])
    events = sieve.reject(events, bad, "duplicate_event_id", column=schema.EVENT_ID, remedy="the first row stays")
    events = events.take(pc.sort_indices(events, sort_keys=[(schema.OCCURRED_AT, "ascending")]))  # stable
    want = PARTED_EVENTS if schema.PART in events.column_names else schema.EVENTS
    return _with_event_ids(events.select(want.names)).cast(want)


def check_users(users: pa.Table | None, of_events: pa.ChunkedArray, sieve: Sieve) -> pa.Table:
    """Users with distinct ids in file order, then those known by their events alone, in order of appearance."""
    seen = pa.table([of_events.unique()], schema=schema.USERS)
    if users is None:
        return seen
    users = _in_schema(_with_distinct(users, schema.USER_ID, sieve), schema.USERS)
    known = pc.is_in(seen[schema.USER_ID], users[schema.USER_ID].combine_chunks())
    return pa.concat_tables([users, seen.filter(pc.invert(known))], promote_options="default").combine_chunks()


def _of_known_parts(events: pa.Table, sieve: Sieve) -> pa.Table:
    """Events of a part of the dataset's own split; all of them, without the column, where it has none."""
    if events[schema.PART].null_count == len(events):
        return events.drop_columns([schema.PART])
    events = _with_value(events, schema.PART, sieve)
    bad = pc.invert(pc.is_in(events[schema.PART], pa.array([*schema.SplitPart], pa.string())))
    return sieve.reject(events, bad, "bad_part", column=schema.PART, remedy=f"accepted: {', '.join(schema.SplitPart)}")


def _demand_parts(name: str, events: pa.Table) -> None:
    if schema.PART not in events.column_names:
        return
    found = set(pc.unique(events[schema.PART]).to_pylist())
    if schema.SplitPart.TRAIN not in found or len(found) == 1:
        raise DatasetError(
            f"{name}: events.part names {', '.join(sorted(found))} alone; accepted: {schema.SplitPart.TRAIN} and at "
            f"least one of {schema.SplitPart.VALIDATION}, {schema.SplitPart.TEST}; name both, or drop the column"
        )


def _with_value(rows: pa.Table, column: str, sieve: Sieve) -> pa.Table:
    bad = pc.is_null(rows[column])
    return sieve.reject(rows, bad, f"missing_{column}", column=column, remedy="every row needs one")


def _with_distinct(rows: pa.Table, key: str, sieve: Sieve) -> pa.Table:
    rows = _with_value(rows, key, sieve)
    return sieve.reject(rows, _repeats(rows[key]), f"duplicate_{key}", column=key, remedy="the first row stays")


def _repeats(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether an id stood in an earlier row already; never for null."""
    # Codes count up as new ids appear, so that an id is new exactly when its code tops all before it.
    codes = ids.combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
    highest = np.maximum.accumulate(np.concatenate([[-1], codes]))[:-1]
    return pa.chunked_array([pa.array((codes >= 0) & (codes <= highest))])


def _without_bad_media(items: pa.Table, column: str, root: Path, sieve: Sieve) -> pa.Table:
    problems = [path and media_problem(path, root) for path in items[column].to_pylist()]
    for row, problem in enumerate(problems):
        if problem:
            key, place, path = (items[name][row].as_py() for name in (schema.ITEM_ID, SOURCE, column))
            sieve.add(problem.reason, row=key, place=place, column=column, value=path, remedy=problem.remedy)
    usable = pa.array([not problem for problem in problems], pa.bool_())
    values = pc.if_else(usable, items[column], None)
    return items.set_column(items.column_names.index(column), column, values)


def _with_event_ids(events: pa.Table) -> pa.Table:
    """Fill absent event ids with an MD5 of what the event says, the same at every reading.

    Equal events are told apart by their number among equals, so that later ones leave the ids of earlier ones alone.
    """
    if events[schema.EVENT_ID].null_count == 0:
        return events
    said = pa.table(
        {
            schema.USER_ID: events[schema.USER_ID],
            schema.ITEM_ID: events[schema.ITEM_ID],
            schema.KIND: events[schema.KIND],
            "micros": events[schema.OCCURRED_AT].cast(pa.int64()),
            # The bits of the float: its decimal form may change with a library.
            "bits": events[schema.VALUE].combine_chunks().view(pa.int32()),
            "row": np.arange(events.num_rows),
        }
    )
    with duckdb.connect() as connection:
        connection.register("said", said)
        query = (Path(__file__).parent / "sql" / "event_ids.sql").read_text()
        made = connection.sql(query).to_arrow_table()["event_id"]
    ids = pc.coalesce(events[schema.EVENT_ID], made)
    return events.set_column(events.column_names.index(schema.EVENT_ID), schema.EVENT_ID, ids)


def _in_schema(rows: pa.Table, want: pa.Schema) -> pa.Table:
    """Without `SOURCE`, the columns of `want` exactly as declared there."""
    rows = rows.drop_columns([SOURCE])
    others = [rows.schema.field(name) for name in rows.column_names if name not in want.names]
    return rows.cast(pa.schema([*want, *others])).combine_chunks()


def _demand_rows(name: str, table: str, rows: pa.Table, rejected: Rejected) -> None:
    if rows.num_rows == 0:
        why = "; ".join(line for line in rejected.summary() if line.startswith(f"{table}:")) or f"{table}: no rows"
        raise DatasetError(f"{name}: no usable row in {table}; accepted: at least one; {why}")
