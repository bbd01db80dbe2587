"""Vectors as a table that other programs read: float32, and int8 with one scale a vector."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.representation.inputs import has_content
from ranking.representation.int8 import Int8Rows, least_cosine
from ranking.types import Bools, Floats


def vector_table(key: str, ids: Sequence[str], spaces: Mapping[str, Floats]) -> pa.Table:
    """One row an id; of each space S `S`, `S_int8` and `S_scale`: S is nearly `S_int8 * S_scale`.

    spaces: float32 [len(ids), d] each. A vector of zeros, of what has no place there, is null in all three.
    """
    columns = {key: pa.array(ids, pa.string())}
    for space, vectors in spaces.items():
        missing = ~has_content(vectors)
        near = Int8Rows.of(vectors)
        columns[space] = _lists(vectors, missing)
        columns[f"{space}_int8"] = _lists(near.values, missing)
        columns[f"{space}_scale"] = pa.array(near.scale, mask=missing)
    return pa.table(columns)


def int8_errors(spaces: Mapping[str, Floats]) -> dict[str, float]:
    """The smallest cosine between a vector and its int8 form, by space."""
    return {space: least_cosine(vectors, Int8Rows.of(vectors).restored()) for space, vectors in spaces.items()}


def _lists(rows: npt.NDArray[np.generic], missing: Bools) -> pa.FixedSizeListArray:
    flat = pa.array(np.ascontiguousarray(rows).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, rows.shape[1], mask=pa.array(missing))
