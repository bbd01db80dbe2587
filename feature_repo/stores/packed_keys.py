"""The bytes under which a row lies: its layout's digest, then the entity key.

One text stands as it is; of several columns each text is preceded by its length. Numbers take eight bytes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.errors import StoreError
from feature_repo.stores.packed_kernels import Places
from feature_repo.stores.packed_layout import DIGEST_SIZE, Layout
from feature_repo.stores.packed_rows import binary
from feature_repo.stores.texts import Texts

LONGEST: Final = 511  # bytes that LMDB takes
_FEW: Final = 16  # keys for which Arrow's call costs more than Python's


class EntityKeys:
    """Keys of some entities, of equally many ids by entity key; the views of one entity share them.

    Raises:
        StoreError: an id is null.
    """

    def __init__(self, layout: Layout, columns: Mapping[str, pa.Array]) -> None:
        parts: list[pa.Array] = []
        for name, kind in layout.keys:
            values = columns[name]
            values = values if values.type == kind else values.cast(kind)
            if values.null_count:
                raise StoreError(f"{values.null_count} rows of view {layout.view} have no {name}; give every row one")
            parts += _parts(values, alone=len(layout.keys) == 1)
        joined = parts[0] if len(parts) == 1 else pc.binary_join_element_wise(*parts, b"")
        self._keys: pa.BinaryArray = joined
        if joined.nbytes >= LONGEST - DIGEST_SIZE and self.texts.longest >= LONGEST - DIGEST_SIZE:
            self._keys = pa.array(map(_short, joined.to_pylist()), pa.binary())
            self.texts = Texts.of(self._keys)

    def __len__(self) -> int:
        return len(self._keys)

    def under(self, digest: bytes, places: Places | None = None) -> list[bytes]:
        """What they lie under in a layout; of all, or those at some places."""
        keys = self._keys if places is None else self._keys.take(pa.array(places))
        if len(keys) < _FEW:
            return [digest + key for key in keys.to_pylist()]
        joined: list[bytes] = pc.binary_join_element_wise(digest, keys, b"").to_numpy(zero_copy_only=False).tolist()
        return joined

    @cached_property
    def texts(self) -> Texts:
        """What they lie under after the digest."""
        return Texts.of(self._keys)


@dataclass(frozen=True)
class SomeKeys:
    """Some of many keys, by their places."""

    whole: EntityKeys
    places: Places

    def __len__(self) -> int:
        return len(self.places)

    def under(self, digest: bytes, places: Places | None = None) -> list[bytes]:
        """`EntityKeys.under`; places: among these."""
        return self.whole.under(digest, self.places if places is None else self.places[places])

    @cached_property
    def texts(self) -> Texts:
        """`EntityKeys.texts`."""
        return self.whole.texts.take(self.places)


class KnownIds:
    """Ids that are asked for time and again: their keys are made once, and found once in a snapshot."""

    def __init__(self, ids: pa.StringArray) -> None:
        self._ids = ids
        self._keys: dict[str, EntityKeys] = {}

    def keys(self, layout: Layout) -> EntityKeys:
        """Of all ids, in a layout of one entity key."""
        [(name, _)] = layout.keys
        if name not in self._keys:
            self._keys[name] = EntityKeys(layout, {name: self._ids})
        return self._keys[name]


@dataclass(frozen=True)
class SomeIds:
    """Some of the known ids, each once: their places among them, int64 [n]."""

    known: KnownIds
    places: Places

    def keys(self, layout: Layout) -> SomeKeys:
        """In a layout of one entity key."""
        return SomeKeys(self.known.keys(layout), self.places)


def _parts(values: pa.Array, *, alone: bool) -> list[pa.Array]:
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        text = values.view(pa.binary())
        if alone:
            return [text]
        lengths = pc.binary_length(text).to_numpy(zero_copy_only=False).astype(">u4")
        return [binary(np.full(len(text), 4), lengths), text]
    return [binary(np.full(len(values), 8), values.to_numpy(zero_copy_only=False).astype(">i8"))]


def _short(key: bytes) -> bytes:
    """A key that LMDB takes: a long one becomes one of the longest size, which no other way makes."""
    if len(key) < LONGEST - DIGEST_SIZE:
        return key
    return blake2b(key, digest_size=64).digest().ljust(LONGEST - DIGEST_SIZE, b"\0")
