"""Feature-store columns as numbers: strings become codes of a vocabulary that is learned once and kept."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.columns import Column, Columns, nulls
from ranking.rankers.features import Part
from ranking.types import Floats

Vocabulary: TypeAlias = dict[str, tuple[str, ...]]
"""Column -> its known strings in ascending order."""

_NUMBERS: Final = {
    kind.id: np.dtype(kind.to_pandas_dtype()) for kind in (pa.int32(), pa.int64(), pa.float32(), pa.float64())
}
_OF_CONTENT: Final = ("has_text", "has_image", "has_audio", "item_age_s")


def learn_vocabulary(table: pa.Table) -> Vocabulary:
    """The strings of every string column."""
    return {
        name: tuple(sorted(value for value in pc.unique(table[name]).to_pylist() if value is not None))
        for name, kind in zip(table.column_names, table.schema.types, strict=True)
        if pa.types.is_string(kind)
    }


def as_numbers(rows: pa.Table | Columns, vocabulary: Mapping[str, tuple[str, ...]]) -> dict[str, Floats]:
    """Columns float32 [n]; NaN for null and for a string that the vocabulary lacks."""
    names = rows.column_names if isinstance(rows, pa.Table) else [*rows]
    numbers = np.empty((len(names), len(rows[names[0]]) if names else 0), np.float32)
    for name, into in zip(names, numbers, strict=True):
        column, known = rows[name], vocabulary.get(name, ())
        if isinstance(column, Column):
            of_values = _numbers(column.values, known)
            into[:] = of_values if len(of_values) == 1 else column.of_rows(of_values)
        else:
            ends = np.cumsum([0, *map(len, column.chunks)]).tolist()
            for chunk, (start, end) in zip(column.chunks, pairwise(ends), strict=True):
                into[start:end] = _numbers(chunk, known)
    return dict(zip(names, numbers, strict=True))


def _numbers(values: pa.Array, known: tuple[str, ...]) -> npt.NDArray[np.generic]:
    """Strings as their places among the known ones, truth as 1 and 0; as float32 where any is null."""
    kind = values.type
    if kind.id not in _NUMBERS:
        values = pc.index_in(values, pa.array(known, kind)) if pa.types.is_string(kind) else values.cast(pa.float32())
    given = np.frombuffer(values.buffers()[1] or b"", _NUMBERS[values.type.id])[values.offset :][: len(values)]
    return np.where(nulls(values), np.float32(np.nan), given.astype(np.float32)) if values.null_count else given


def part_of(name: str) -> Part:
    """Which part of the platform a feature-store column tells of."""
    if name.startswith("context_") or name.endswith("_lift"):
        return Part.CONTEXT
    return Part.CONTENT if name in _OF_CONTENT else Part.BEHAVIOUR
