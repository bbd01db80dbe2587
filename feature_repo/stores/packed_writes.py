"""Rows of a view on their way into the file: encoded first, then written in a transaction if they are not outdated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from feature_repo.errors import StoreError
from feature_repo.stores import snapshot_record
from feature_repo.stores.packed_keys import EntityKeys
from feature_repo.stores.packed_layout import Layout
from feature_repo.stores.packed_rows import Moments, encode, moments

if TYPE_CHECKING:
    import lmdb

_MOMENTS: Final = 16  # bytes at the head of a row: when it was so, and when it was written


@dataclass(frozen=True)
class Ready:
    """Encoded rows. latest: place of the latest of each key."""

    layout: Layout
    entities: EntityKeys
    keys: list[bytes]
    when: Moments
    latest: dict[bytes, int]
    packed: list[bytes]

    @classmethod
    def of(cls, layout: Layout, rows: pa.Table) -> "Ready":
        """Encode rows of a view; see `PackedOnlineStore.write_arrow`.

        Raises:
            StoreError: an id or event_timestamp is null, or a value does not fit its field.
        """
        when = moments(rows)
        typed = _typed(layout, rows)
        entities = EntityKeys(layout, {name: typed[name].combine_chunks() for name, _ in layout.keys})
        keys = entities.under(layout.digest)
        return cls(layout, entities, keys, when, _latest(keys, when), encode(layout, typed, when))

    def write(self, transaction: "lmdb.Transaction[bytes]") -> None:
        """Put those that are at least as late as what is stored, and note their keys for snapshots."""
        places = _not_older(transaction, self.layout, self.keys, self.latest, self.when)
        transaction.cursor().putmulti([(self.keys[place], self.packed[place]) for place in places])
        snapshot_record.note(transaction, self.layout.digest, self.entities.texts.take(np.array(places, np.int64)))


def _typed(layout: Layout, rows: pa.Table) -> pa.Table:
    """The layout's columns of some rows, in its types."""
    try:
        chosen = rows.select(layout.schema.names)
        return chosen if chosen.schema.types == layout.schema.types else chosen.cast(layout.schema)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(
            f"rows of view {layout.view} do not fit it ({error}); wanted: "
            f"{', '.join(f'{field.name} {field.type}' for field in layout.schema)}"
        ) from error


def _latest(keys: list[bytes], when: Moments) -> dict[bytes, int]:
    """Place of the latest row of each key."""
    if len(set(keys)) == len(keys):
        return {key: place for place, key in enumerate(keys)}
    order = np.lexsort((when.created_us, when.event_us)).tolist()
    return {keys[place]: place for place in order}


def _not_older(
    transaction: "lmdb.Transaction[bytes]", layout: Layout, keys: list[bytes], latest: dict[bytes, int], when: Moments
) -> list[int]:
    """Places of rows that are at least as late as what is stored, in the order of their keys."""
    ordered = sorted(latest)
    places = np.fromiter((latest[key] for key in ordered), np.int64, len(ordered))
    nothing, get = layout.nothing, transaction.get
    stored = b"".join([get(key, nothing)[:_MOMENTS] for key in ordered])
    event_us, created_us = np.frombuffer(stored, "<i8").reshape(-1, 2).T
    event, created = when.event_us[places], when.created_us[places]
    later = (event > event_us) | ((event == event_us) & (created >= created_us))
    kept: list[int] = places[later].tolist()
    return kept
