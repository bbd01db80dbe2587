"""What the rows of the feature views may be. Vectors have a suite of their own: `embeddings`."""

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.schema import EVENT_TIMESTAMP, ITEM_ID, USER_ID
from validation.expectations import Expectation, above, at_least, between, equal, not_null, unique
from validation.suite import Suite, ids

WINDOWS: Final = ("_1d", "_7d", "_28d", "_365d", "")  # each within the next; the last is since ever
_MOMENT: Final = "event_timestamp_us"
_DAYPARTS: Final = ("item_night", "item_morning", "item_afternoon", "item_evening")


def suite(view: str) -> Suite:
    """The suite of a stored view's rows; raises ValueError for a view that has none."""
    if view not in _SUITES:
        raise ValueError(f"view {view!r} has no suite; accepted are {', '.join(sorted(_SUITES))}")
    return _SUITES[view]()


def _user_activity() -> Suite:
    return _windowed("user_activity", USER_ID, "user", impressions="user_impressions_7d")


def _item_popularity() -> Suite:
    shares = ("item_response_rate_28d", "item_positive_share")
    return _windowed("item_popularity", ITEM_ID, "item", impressions="item_impressions_28d", shares=shares)


def _windowed(view: str, key: str, prefix: str, *, impressions: str, shares: tuple[str, ...] = ()) -> Suite:
    """Counts by window: none negative, none above that of a wider window, positives among interactions; no future."""
    interactions = [f"{prefix}_interactions{window}" for window in WINDOWS]
    positives = [f"{prefix}_positives{window}" for window in WINDOWS]
    first, last = f"{prefix}_first_event_at", f"{prefix}_last_event_at"
    within = [*pairwise(interactions), *pairwise(positives), *zip(positives, interactions, strict=True)]
    return Suite(
        view,
        (key, EVENT_TIMESTAMP, *interactions, *positives, impressions, *shares, first, last),
        [
            *_rows_of(key),
            *(between(count, 0) for count in (interactions[0], positives[0], impressions)),
            *(at_least(wider, narrower) for narrower, wider in within),
            *(between(share, 0, 1) for share in shares),
            at_least(last, first, nulls=True),
            above(_MOMENT, last, nulls=True),
        ],
        lambda rows: rows.append_column(_MOMENT, rows[EVENT_TIMESTAMP].cast(schema.TIMESTAMP).cast(pa.int64())),
    )


def _item_context() -> Suite:
    """Counts by surroundings: none negative, the weekend's among all, one count for each device and place."""
    listed = {"item_devices": "item_device_counts", "item_places": "item_place_counts"}
    own = (ITEM_ID, EVENT_TIMESTAMP, *_DAYPARTS, "item_weekend")

    def measured(rows: pa.Table) -> pa.Table:
        columns = {name: rows[name] for name in own}
        columns["item_interactions"] = sum(rows[name].to_numpy() for name in _DAYPARTS)
        for names, counts in listed.items():
            columns |= {_length(names): pc.list_value_length(rows[names])}
            columns |= {
                _length(counts): pc.list_value_length(rows[counts]),
                _least(counts): _of_list(rows[counts], "min"),
            }
        return pa.table(columns)

    return Suite(
        "item_context",
        (*own, *listed.keys(), *listed.values()),
        [
            *_rows_of(ITEM_ID),
            *(between(count, 0) for count in (*_DAYPARTS, "item_weekend", *map(_least, listed.values()))),
            at_least("item_interactions", "item_weekend"),
            *(equal(_length(names), _length(counts)) for names, counts in listed.items()),
        ],
        measured,
    )


def _user_item_affinity() -> Suite:
    """Shares of categories: one for each category named, none negative, 1 in total (or there are none)."""
    names, weights = "affinity_categories", "affinity_weights"
    total = f"total_{weights}"

    def measured(rows: pa.Table) -> pa.Table:
        columns = {name: rows[name] for name in (USER_ID, EVENT_TIMESTAMP)}
        columns |= {_length(name): pc.list_value_length(rows[name]) for name in (names, weights)}
        return pa.table(
            {**columns, _least(weights): _of_list(rows[weights], "min"), total: _of_list(rows[weights], "sum")}
        )

    return Suite(
        "user_item_affinity",
        (USER_ID, EVENT_TIMESTAMP, names, weights),
        [
            *_rows_of(USER_ID),
            equal(_length(names), _length(weights)),
            between(_least(weights), 0),
            between(total, 0.999, 1.001),
        ],
        measured,
    )


def _item_content() -> Suite:
    """One row an item: when it came, its categories (be they none), what it can be perceived by."""
    has = ("has_text", "has_image", "has_audio")

    def measured(rows: pa.Table) -> pa.Table:
        columns = {name: rows[name] for name in (ITEM_ID, EVENT_TIMESTAMP, *has)}
        return pa.table({**columns, _length(schema.CATEGORIES): pc.list_value_length(rows[schema.CATEGORIES])})

    return Suite(
        "item_content",
        (ITEM_ID, EVENT_TIMESTAMP, schema.CATEGORIES, *has),
        [
            *ids(ITEM_ID),
            unique(ITEM_ID),
            *map(not_null, (EVENT_TIMESTAMP, _length(schema.CATEGORIES), *has)),
        ],
        measured,
    )


_SUITES: Final[dict[str, Callable[[], Suite]]] = {
    "user_activity": _user_activity,
    "item_popularity": _item_popularity,
    "item_context": _item_context,
    "user_item_affinity": _user_item_affinity,
    "item_content": _item_content,
}


def _rows_of(key: str) -> list[Expectation]:
    """At most one row an entity and moment."""
    return [*ids(key), not_null(EVENT_TIMESTAMP), unique(key, EVENT_TIMESTAMP)]


def _length(column: str) -> str:
    return f"length_{column}"


def _least(column: str) -> str:
    return f"least_{column}"


def _of_list(lists: pa.ChunkedArray, function: str) -> pa.Array:
    """The least ("min") or the sum of the numbers of each list, null for an empty one."""
    whole = lists.combine_chunks()
    entries = pa.table({"row": pc.list_parent_indices(whole), "number": pc.list_flatten(whole).cast(pa.float64())})
    of_row = entries.group_by("row").aggregate([("number", function)])
    result = np.full(len(lists), np.nan)
    result[of_row["row"].to_numpy()] = of_row[f"number_{function}"].to_numpy()
    return pa.array(result, from_pandas=True)
