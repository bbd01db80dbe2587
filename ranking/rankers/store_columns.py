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
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_string(column.type):
            column = pc.index_in(column, pa.array(vocabulary.get(name, ()), pa.string()))
        if column.null_count:
            column = column.cast(pa.float32(), safe=False)
        columns[name] = column.to_numpy().astype(np.float32)
    return columns


def part_of(name: str) -> Part:
    """Which part of the platform a feature-store column tells of."""
    if name.startswith("context_") or name.endswith("_lift"):
        return Part.CONTEXT
    return Part.CONTENT if name in _OF_CONTENT else Part.BEHAVIOUR
