"""Features that depend on the request: pure functions of an Arrow table, row by row independent.

Two moments: `as_of`, up to which behaviour is known (ages count to it), and `requested_at`, whose hour and weekday
count. Live they are one; an evaluation with a global cutoff asks later than it knows. Both are int64 microseconds
since 1970 UTC.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

AS_OF: Final = "as_of"
REQUESTED_AT: Final = "requested_at"

REQUEST: Final = pa.schema(
    [
        pa.field(AS_OF, pa.int64(), nullable=False),
        pa.field(REQUESTED_AT, pa.int64(), nullable=False),
        pa.field(schema.DEVICE, pa.string()),
        pa.field(schema.PLACE, pa.string()),
    ]
)

_STRINGS: Final = pa.list_(pa.string())
_INTS: Final = pa.list_(pa.int64())

MATCH: Final = pa.schema(
    [
        *REQUEST,
        pa.field("affinity_categories", _STRINGS),
        pa.field("affinity_weights", pa.list_(pa.float32())),
        pa.field("last_categories", _STRINGS),
        pa.field("user_last_event_at", pa.int64()),
        pa.field("categories", _STRINGS),
        pa.field("created_at", pa.int64()),
        pa.field("item_last_event_at", pa.int64()),
        *(pa.field(f"item_{part}", pa.int64()) for part in ("night", "morning", "afternoon", "evening", "weekend")),
        pa.field("item_devices", _STRINGS),
        pa.field("item_device_counts", _INTS),
        pa.field("item_places", _STRINGS),
        pa.field("item_place_counts", _INTS),
    ]
)

# An item's share of a context counts as if this many interactions, spread evenly, had come before.
PRIOR_INTERACTIONS: Final = 10.0

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


def request_context(request: pa.Table) -> pa.Table:
    """Where and when a request is made, from a table of `REQUEST`.

    context_hour 0..23, context_weekday 0 (Monday)..6, context_daypart 0 (night, from 0 h) .. 3 (evening, from 18 h),
    context_is_weekend, context_device, context_place. UTC.
    """
    at = _ints(request[REQUESTED_AT])
    hour = at // _HOUR_US % 24
    weekday = _weekday(at)
    return pa.table(
        {
            "context_hour": hour,
            "context_weekday": weekday,
            "context_daypart": hour // 6,
            "context_is_weekend": weekday >= 5,
            "context_device": request[schema.DEVICE],
            "context_place": request[schema.PLACE],
        }
    )


def user_item_match(rows: pa.Table) -> pa.Table:
    """How an item fits this user, now and here, from a table of `MATCH`.

    category_affinity: mean share of the user's taste over the item's categories. last_category_overlap: share of the
    item's categories that the user's latest item has too. *_lift: how much likelier this item is chosen in the
    request's daypart, weekend or week, device, place than if choices were spread evenly; 1 where nothing is known of
    the item. *_s: seconds up to `as_of`. Null where what it compares is unknown.
    """
    rows = rows.select(MATCH.names)
    if rows.schema.types != MATCH.types:
        rows = rows.cast(MATCH)
    as_of = _ints(rows[AS_OF])
    hour = _ints(rows[REQUESTED_AT]) // _HOUR_US % 24
    chosen = np.stack([_ints(rows[f"item_{part}"]) for part in ("night", "morning", "afternoon", "evening")])
    total = chosen.sum(axis=0)
    is_weekend = _weekday(_ints(rows[REQUESTED_AT])) >= 5
    weekend = _ints(rows["item_weekend"])
    this_daypart = np.take_along_axis(chosen, (hour // 6)[np.newaxis], axis=0)[0]
    liked, last = rows["affinity_categories"], rows["last_categories"]
    match = {
        "category_affinity": _mean_weight(rows["categories"], liked, rows["affinity_weights"]),
        "last_category_overlap": _mean_weight(rows["categories"], last, None),
        "daypart_lift": _float32(_lift(this_daypart, total, 1 / 4)),
        "weekend_lift": _float32(
            _lift(np.where(is_weekend, weekend, total - weekend), total, np.where(is_weekend, 2 / 7, 5 / 7))
        ),
        "device_lift": _named_lift(rows[schema.DEVICE], rows["item_devices"], rows["item_device_counts"]),
        "place_lift": _named_lift(rows[schema.PLACE], rows["item_places"], rows["item_place_counts"]),
        "item_age_s": _age_s(as_of, rows["created_at"]),
        "item_idle_s": _age_s(as_of, rows["item_last_event_at"]),
        "user_idle_s": _age_s(as_of, rows["user_last_event_at"]),
    }
    return pa.table(match)


# What the on-demand views compute, by their names
ON_DEMAND: Final[Mapping[str, Callable[[pa.Table], pa.Table]]] = {
    "request_context": request_context,
    "user_item_match": user_item_match,
}


def on_frame(transform: Callable[[pa.Table], pa.Table], inputs: pa.Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Run a transform on the data frame that Feast gives an on-demand view."""
    rows = pa.Table.from_pandas(frame[inputs.names], schema=inputs, preserve_index=False)
    made: pd.DataFrame = transform(rows).to_pandas()
    return made


def _weekday(at: Ints) -> Ints:
    return (at // _DAY_US + 3) % 7  # 1970-01-01 was a Thursday


def _lift(chosen: Ints, total: Ints, even: Floats | float) -> Floats:
    """Smoothed P(context | item), divided by what an even spread would give."""
    lift: Floats = (chosen / even + PRIOR_INTERACTIONS) / (total + PRIOR_INTERACTIONS)
    return lift


def _named_lift(asked: pa.ChunkedArray, names: pa.ChunkedArray, counts: pa.ChunkedArray) -> pa.Array:
    """`_lift` of a named context; an even spread is one over the names that the item or the request knows, at least 2.

    Null where the request names none.
    """
    row, name = _flat(names)
    count = np.asarray(pc.list_flatten(counts), np.int64)
    n = len(asked)
    same = np.asarray(pc.fill_null(pc.equal(name, _one_chunk(asked).take(pa.array(row))), False), bool)
    total = np.bincount(row, count, n)
    chosen = np.bincount(row[same], count[same], n)
    known = np.bincount(row, minlength=n) + (np.bincount(row[same], minlength=n) == 0)
    return _float32(_lift(chosen, total, 1 / np.maximum(known, 2)), mask=_nulls(asked))


def _mean_weight(categories: pa.ChunkedArray, held: pa.ChunkedArray, weights: pa.ChunkedArray | None) -> pa.Array:
    """Mean over an item's categories of the weight (default 1) that the same row's `held` gives them, 0 if it does not.

    Null where the item has no categories or `held` is null.
    """
    row, name = _flat(categories)
    held_row, held_name = _flat(held)
    weight = np.ones(len(held_row)) if weights is None else np.asarray(pc.list_flatten(weights), np.float64)
    held_code = held_name.dictionary_encode()
    names = held_code.dictionary
    code = np.asarray(pc.fill_null(pc.index_in(name, names), len(names)), np.int64)  # one more: nobody holds it
    key = row * (len(names) + 1) + code
    held_key = held_row * (len(names) + 1) + np.asarray(held_code.indices, np.int64)
    order = np.argsort(held_key, kind="stable")
    held_key, weight = held_key[order], np.append(weight[order], 0.0)
    at = np.searchsorted(held_key, key)
    found = np.append(held_key, -1)[at] == key
    size = np.bincount(row, minlength=len(categories))
    mean = np.bincount(row, np.where(found, weight[at], 0.0), len(categories)) / np.maximum(size, 1)
    return _float32(mean, mask=(size == 0) | _nulls(held))


def _flat(lists: pa.ChunkedArray) -> tuple[Ints, pa.Array]:
    """Values of lists one after the other, and the row that each belongs to."""
    one = _one_chunk(lists)
    return np.asarray(pc.list_parent_indices(one), np.int64), pc.list_flatten(one)


def _age_s(as_of: Ints, since: pa.ChunkedArray) -> pa.Array:
    return pa.array((as_of - _ints(since)) / 1e6, pa.float64(), mask=_nulls(since) if since.null_count else None)


def _ints(column: pa.ChunkedArray) -> Ints:
    """Numbers, 0 for null."""
    one = _one_chunk(column)
    numbers: Ints = (one.fill_null(0) if one.null_count else one).to_numpy(zero_copy_only=False)
    return numbers.astype(np.int64, copy=False)


def _nulls(column: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    if not column.null_count:
        return np.zeros(len(column), bool)
    return np.asarray(pc.is_null(column), bool)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    one = column.combine_chunks()
    return one if isinstance(one, pa.Array) else pa.concat_arrays(one.chunks)


def _float32(values: Floats, mask: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(values.astype(np.float32), mask=mask if mask is not None and mask.any() else None)
