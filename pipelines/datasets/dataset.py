"""What every dataset reader returns, and what an event's kind makes of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.rejected import Rejected


@dataclass(frozen=True)
class Dataset:
    """Items, users and events of one company, checked row by row.

    items: `schema.ITEMS` and further attribute columns, one row an item. users: `schema.USERS` and attributes, every
    user of the events among them. events: `schema.EVENTS`, ascending in occurred_at, event ids distinct and the same
    whenever the same source is read. media_root: folder that image and audio paths are relative to.
    """

    name: str
    items: pa.Table
    users: pa.Table
    events: pa.Table
    kinds: tuple[schema.EventKind, ...]
    media_root: Path
    rejected: Rejected


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
