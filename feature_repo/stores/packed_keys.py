"""The bytes under which a row lies: its layout's digest, then the entity key.

One text stands as it is; of several columns each text is preceded by its length. Numbers take eight bytes.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.errors import StoreError
from feature_repo.stores.packed_layout import DIGEST_SIZE, Layout
from feature_repo.stores.packed_rows import binary

LONGEST: Final = 511  # bytes that LMDB takes


def entity_keys(layout: Layout, columns: Mapping[str, pa.Array]) -> list[bytes]:
    """Keys of rows by the columns of their entity keys.

    Raises:
        StoreError: an id is null.
    """
    parts: list[pa.Array] = []
    for name, kind in layout.keys:
        values = columns[name].cast(kind)
        if values.null_count:
            raise StoreError(f"{values.null_count} rows of view {layout.view} have no {name}; give every row one")
        parts += _parts(values, alone=len(layout.keys) == 1)
    joined = pc.binary_join_element_wise(pa.scalar(layout.digest), *parts, b"")
    keys: list[bytes] = joined.to_numpy(zero_copy_only=False).tolist()
    if len(keys) and pc.max(pc.binary_length(joined)).as_py() >= LONGEST:
        return [key if len(key) < LONGEST else _hashed(key) for key in keys]
    return keys


def _parts(values: pa.Array, *, alone: bool) -> list[pa.Array]:
    if pa.types.is_string(values.type) or pa.types.is_binary(values.type):
        text = values.cast(pa.binary())
        if alone:
            return [text]
        lengths = pc.binary_length(text).to_numpy(zero_copy_only=False).astype(">u4")
        return [binary(np.full(len(text), 4), lengths), text]
    return [binary(np.full(len(values), 8), values.to_numpy(zero_copy_only=False).astype(">i8"))]


def _hashed(key: bytes) -> bytes:
    """A key of the longest size, which no other way makes."""
    digest = blake2b(key[DIGEST_SIZE:], digest_size=64).digest()
    return (key[:DIGEST_SIZE] + digest).ljust(LONGEST, b"\0")
