"""Features that depend on the request: pure functions of columns, row by row independent.

What many rows share (the user, the request) is looked at once, as `columns.Column` holds it.

Two moments: `as_of`, up to which behaviour is known (ages count to it), and `requested_at`, whose hour and weekday
count. Live they are one; an evaluation with a global cutoff asks later than it knows. Both are int64 microseconds
since 1970 UTC.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from feature_repo import schema
from feature_repo.columns import Column, Columns, columns_of, table_of, typed
from feature_repo.matching import Ints, Singles, mean_weights, named_lifts, time_lifts
from feature_repo.names import Bools, Names, Numbers

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

_SURROUNDINGS: Final = pa.schema([field for field in REQUEST if field.name != AS_OF])

_TIMES: Final = ("night", "morning", "afternoon", "evening", "weekend")
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
        *(pa.field(f"item_{part}", pa.int64()) for part in _TIMES),
        pa.field("item_devices", _STRINGS),
        pa.field("item_device_counts", _INTS),
        pa.field("item_places", _STRINGS),
        pa.field("item_place_counts", _INTS),
    ]
)

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


def request_context(request: Columns) -> dict[str, Column]:
    """Where and when a request is made, from columns of `REQUEST` (without `as_of`).

    context_hour 0..23, context_weekday 0 (Monday)..6, context_daypart 0 (night, from 0 h) .. 3 (evening, from 18 h),
    context_is_weekend, context_device, context_place. UTC.
    """
    told = typed(request, _SURROUNDINGS)
    moment = told[REQUESTED_AT]
    at = Column(moment.values).numbers()
    hour = _hour(at)
    weekday = _weekday(at)
    when = {
        "context_hour": hour,
        "context_weekday": weekday,
        "context_daypart": hour // 6,
        "context_is_weekend": weekday >= 5,
    }
    return {name: Column(pa.array(values), moment.place) for name, values in when.items()} | {
        "context_device": told[schema.DEVICE],
        "context_place": told[schema.PLACE],
    }


def user_item_match(rows: Columns) -> dict[str, Column]:
    """How an item fits this user, now and here, from columns of `MATCH`; those of the user share their places.

    category_affinity: mean share of the user's taste over the item's categories. last_category_overlap: share of the
    item's categories that the user's latest item has too. *_lift: how much likelier this item is chosen in the
    request's daypart, weekend or week, device, place than if choices were spread evenly; 1 where nothing is known of
    the item. *_s: seconds up to `as_of`. Null where what it compares is unknown.
    """
    told = typed(rows, MATCH)
    as_of, moment = told[AS_OF].numbers(), told[REQUESTED_AT]
    at = Column(moment.values).numbers()
    chosen = np.stack([told[f"item_{part}"].numbers() for part in _TIMES])
    daypart_lift, weekend_lift = time_lifts(_hour(at) // 6, _weekday(at) >= 5, _places(moment), chosen[:-1], chosen[-1])
    categories = Names.of_lists(told["categories"].plain())
    match = {
        "category_affinity": _mean_weight(categories, told["affinity_categories"], told["affinity_weights"]),
        "last_category_overlap": _mean_weight(categories, told["last_categories"], None),
        "daypart_lift": pa.array(daypart_lift),
        "weekend_lift": pa.array(weekend_lift),
        "device_lift": _named_lift(told[schema.DEVICE], told["item_devices"], told["item_device_counts"]),
        "place_lift": _named_lift(told[schema.PLACE], told["item_places"], told["item_place_counts"]),
        "item_age_s": _age_s(as_of, told["created_at"]),
        "item_idle_s": _age_s(as_of, told["item_last_event_at"]),
        "user_idle_s": _age_s(as_of, told["user_last_event_at"]),
    }
    return {name: Column(values) for name, values in match.items()}


Transform: TypeAlias = Callable[[Columns], dict[str, Column]]

# What the on-demand views compute, by their names
ON_DEMAND: Final[Mapping[str, Transform]] = {
    "request_context": request_context,
    "user_item_match": user_item_match,
}


def on_frame(transform: Transform, inputs: pa.Schema, frame: pd.DataFrame) -> pd.DataFrame:
    """Run a transform on the data frame that Feast gives an on-demand view."""
    rows = pa.Table.from_pandas(frame[inputs.names], schema=inputs, preserve_index=False)
    made: pd.DataFrame = table_of(transform(columns_of(rows))).to_pandas()
    return made


def _hour(at: Ints) -> Ints:
    return at // _HOUR_US % 24


def _weekday(at: Ints) -> Ints:
    return (at // _DAY_US + 3) % 7  # 1970-01-01 was a Thursday


def _named_lift(asked: Column, names: Column, counts: Column) -> pa.Array:
    named, counted = Names.of_lists(names.plain()), Numbers.of_lists(counts.plain())
    return _float32(*named_lifts(Names.of_each(asked.values), _places(asked), named, counted))


def _mean_weight(categories: Names, held: Column, weights: Column | None) -> pa.Array:
    """Mean over an item's categories of the weight (default 1) that the same row's `held` gives them.

    0 for a category that it does not hold; null where the item has no categories or `held` is null.
    """
    holding = Names.of_lists(held.values)
    given = Numbers.ones(holding) if weights is None else Numbers.of_lists(weights.values)
    return _float32(*mean_weights(categories, holding, _places(held), given))


def _places(column: Column) -> Ints:
    return np.arange(len(column)) if column.place is None else column.place


def _age_s(as_of: Ints, since: Column) -> pa.Array:
    age_s = (as_of - since.numbers()) / 1e6
    return pa.array(age_s, pa.float64(), mask=since.nulls() if since.values.null_count else None)


def _float32(values: Singles, null: Bools) -> pa.Array:
    return pa.array(values, mask=null if null.any() else None)
