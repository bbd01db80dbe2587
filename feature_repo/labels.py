"""What an event's kind makes of it."""

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo import schema


def label_events(events: pa.Table, kinds: Sequence[schema.EventKind]) -> pa.Table:
    """Events with their weight and whether they are positive: `schema.LABELLED_EVENTS`."""
    by_name = {kind.name: kind for kind in kinds}
    of_row = [by_name[name] for name in events[schema.KIND].to_pylist()]
    value = events[schema.VALUE].to_numpy(zero_copy_only=False)
    floor = np.array([-np.inf if kind.positive_from is None else kind.positive_from for kind in of_row])
    reached = np.isneginf(floor) | (np.nan_to_num(value, nan=-np.inf) >= floor)
    positive = np.array([kind.positive for kind in of_row], bool) & reached
    weight = np.array([kind.weight for kind in of_row], np.float32)
    columns = [*events.select(schema.EVENTS.names).columns, pa.array(weight), pa.array(positive)]
    return pa.Table.from_arrays(columns, schema=schema.LABELLED_EVENTS)


def rated_kind(kinds: Sequence[schema.EventKind]) -> str | None:
    """The kind of event whose value is a rating: the first interaction that is liked from some value on; else None.

    A value that nothing depends on (a price, a count) says nothing of liking, and kinds do not share one scale.
    """
    return next((one.name for one in kinds if one.weight > 0 and one.positive and one.positive_from is not None), None)


def ratings_of(events: pa.Table, rated: Collection[str]) -> npt.NDArray[np.float32]:
    """Values of the events of some kinds, float32 [n]; NaN where there is none, and of other kinds."""
    value = events[schema.VALUE].to_numpy(zero_copy_only=False).astype(np.float32)
    return np.where(np.isin(events[schema.KIND].to_pylist(), list(rated)), value, np.float32(np.nan))
