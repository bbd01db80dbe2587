"""Feature-store columns as numbers: strings become codes of a vocabulary that is learned once and kept."""

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ranking.rankers.features import Part
from ranking.types import Floats

Vocabulary: TypeAlias = dict[str, tuple[str, ...]]
"""Column -> its known strings in ascending order."""

_AT_ONCE: Final = 65_536  # rows that are held as float64 too
_NUMBERS: Final = frozenset(kind.id for kind in (pa.int32(), pa.int64(), pa.float32(), pa.float64()))
_OF_CONTENT: Final = ("has_text", "has_image", "has_audio", "item_age_s")


def learn_vocabulary(table: pa.Table) -> Vocabulary:
    """The strings of every string column."""
    return {
        name: tuple(sorted(value for value in pc.unique(table[name]).to_pylist() if value is not None))
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
        if pa.types.is_string(kind)
    }


def as_numbers(table: pa.Table, vocabulary: Mapping[str, tuple[str, ...]]) -> dict[str, Floats]:
    """Columns float32 [n]; NaN for null and for a string that the vocabulary lacks."""
    names = table.column_names
    numbers = np.empty((len(names), len(table)), np.float32)
    start = 0
    for batch in table.to_batches(max_chunksize=_AT_ONCE) if names else ():
        columns = [_number(column, vocabulary.get(name, ())) for name, column in zip(names, batch.columns, strict=True)]
        rows = pa.RecordBatch.from_arrays(columns, names).to_tensor(null_to_nan=True, row_major=False)
        numbers[:, start : start + len(batch)] = rows.to_numpy().T
        start += len(batch)
    return dict(zip(names, numbers, strict=True))


def _number(column: pa.Array, known: tuple[str, ...]) -> pa.Array:
    """Strings as their places among the known ones, truth as 1 and 0."""
    kind = column.type
    if kind.id in _NUMBERS:
        return column
    return pc.index_in(column, pa.array(known, kind)) if pa.types.is_string(kind) else column.cast(pa.float32())


def part_of(name: str) -> Part:
    """Which part of the platform a feature-store column tells of."""
    if name.startswith("context_") or name.endswith("_lift"):
        return Part.CONTEXT
    return Part.CONTENT if name in _OF_CONTENT else Part.BEHAVIOUR
