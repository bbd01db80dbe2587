"""What every dataset reader returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from feature_repo import schema
from feature_repo.rejected import Rejected


@dataclass(frozen=True)
class Dataset:
    """Items, users and events of one company, checked row by row.

    items: `schema.ITEMS` and further attribute columns, one row an item. users: `schema.USERS` and attributes, every
    user of the events among them. events: `schema.EVENTS`, ascending in occurred_at, event ids distinct and the same
    whenever the same source is read; with a further column `schema.PART` where the dataset has a split of its own.
    media_root: folder that image, audio and video paths are relative to. vectors: those that come with the dataset,
    item_id and vector float32 [d], one row an item, in the items' order.
    """

    name: str
    items: pa.Table
    users: pa.Table
    events: pa.Table
    kinds: tuple[schema.EventKind, ...]
    media_root: Path
    rejected: Rejected
    vectors: Mapping[schema.Modality, pa.Table] = field(default_factory=dict)
