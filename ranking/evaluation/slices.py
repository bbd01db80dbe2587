"""Slices over users: how much is known of them, who they are, when, where and on what they ask.

They are rows of a table, so that any slice, and any crossing of two, is one SQL query (docs/queries.md).
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.columns import Column, table_of
from feature_repo.transforms import REQUESTED_AT, request_context
from ranking.rankers.groups import BANDS, MAX_VALUES, attributes_of
from ranking.splits import Positions, Split
from ranking.types import Strings

HISTORY: Final = ("short_history", "medium_history", "long_history")
DAYPARTS: Final = np.array(["night", "morning", "afternoon", "evening"], object)  # of six hours from 0 h, UTC
WEEK: Final = np.array(["weekday", "weekend"], object)
EMPTY: Final = pa.table({name: pa.array([], pa.string()) for name in (schema.USER_ID, "attribute", "slice")})


def user_slices(split: Split, users: pa.Table) -> pa.Table:
    """Columns user_id, attribute, slice: one row a slice of a query with a history.

    `history`: thirds of the users by its length, ties by code. A user attribute: its value, numbers of many values in
    bands (`attributes_of` says which attributes count). The request: its hour, daypart and kind of day in UTC, device,
    place. An attribute of the users with the name of one of these is called user_NAME.
    """
    known = np.flatnonzero(np.diff(split.queries.indptr))
    codes = split.queries.user[known]
    ids = np.array(split.train.users.take(codes), object)
    parts = [(ids, "history", _thirds(split, known))]
    asked = dict(_asked(split, known))
    parts += [(ids, name, _named(name, values)) for name, values in asked.items()]
    for name, values in _attributes(users, ids):
        attribute = f"user_{name}" if name in asked or name == "history" else name
        parts.append((ids, attribute, _named(attribute, values)))
    rows = [
        pa.table(
            {schema.USER_ID: pa.array(who[there], pa.string()), "attribute": pa.repeat(name, int(there.sum()))}
        ).append_column("slice", pa.array(slices[there], pa.string()))
        for who, name, slices in parts
        if (there := np.array([one is not None for one in slices], bool)).any()
    ]
    return pa.concat_tables([EMPTY, *rows])


def _thirds(split: Split, known: Positions) -> Strings:
    """Of the queries `known`, by length of the history; the first thirds are the longer ones, as SQL's ntile does."""
    length = np.diff(split.queries.indptr)[known]
    slices = np.empty(len(known), object)
    for name, part in zip(HISTORY, np.array_split(np.lexsort((known, length)), 3), strict=True):
        slices[part] = name
    return slices


def _asked(split: Split, known: Positions) -> Iterator[tuple[str, Strings]]:
    """What the requests say: name -> value, object [n], None where it is not said."""
    queries = split.queries
    asked = {
        REQUESTED_AT: pa.array(queries.at[known]),
        schema.DEVICE: pa.array(queries.device[known], pa.string()),
        schema.PLACE: pa.array(queries.place[known], pa.string()),
    }
    context = table_of(request_context({name: Column(values) for name, values in asked.items()}))
    hour = context["context_hour"].to_numpy()
    yield "hour", np.array([f"{one:02}" for one in hour.tolist()], object)
    yield "daypart", DAYPARTS[context["context_daypart"].to_numpy()]
    yield "week", WEEK[context["context_is_weekend"].to_numpy(zero_copy_only=False).astype(int)]
    for name in (schema.DEVICE, schema.PLACE):
        values = np.array(context[f"context_{name}"].to_pylist(), object)
        if len({one for one in values if one is not None}) <= MAX_VALUES:
            yield name, values


def _attributes(users: pa.Table, ids: Strings) -> Iterator[tuple[str, Strings]]:
    place = {one: row for row, one in enumerate(users[schema.USER_ID].to_pylist())}
    rows = [place.get(one, -1) for one in ids]
    for name, values in attributes_of(users).items():
        readable = _readable(users[name], values)
        yield name, np.array([*readable, None], object)[rows]


def _readable(column: pa.ChunkedArray, values: tuple[str | None, ...]) -> list[str | None]:
    """The values; of a number's bands, which are but numbered, the least and greatest value, as in 25-31."""
    numeric = pa.types.is_floating(column.type) or pa.types.is_integer(column.type)
    if not numeric or pc.count_distinct(column).as_py() <= BANDS:
        return list(values)
    members: dict[str, list[float]] = {}
    for band, number in zip(values, column.to_pylist(), strict=True):
        if band is not None:
            members.setdefault(band, []).append(number)
    said = {band: f"{min(numbers):g}-{max(numbers):g}" for band, numbers in members.items()}
    return [None if band is None else said[band] for band in values]


def _named(attribute: str, values: Strings) -> Strings:
    return np.array([None if one is None else f"{attribute}={one}" for one in values], object)
