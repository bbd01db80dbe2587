"""Vectors that a dataset brings for its items: Parquet tables, or NumPy arrays with a file of ids beside them.

Nothing in such a file is ever executed: pickled arrays are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as is_a

from feature_repo import schema
from pipelines.datasets.columns import conform
from pipelines.datasets.files import read_parquet
from pipelines.datasets.media import media_problem
from pipelines.datasets.sieve import SOURCE, Sieve
from pipelines.errors import DatasetError

VECTOR: Final = "vector"
IDS: Final = pa.schema([pa.field(schema.ITEM_ID, pa.string())])
MAX_BYTES: Final = 8 << 30  # of one file; vectors are held in memory while they are checked
ACCEPTED: Final = (
    f"a .parquet file with {schema.ITEM_ID} and {VECTOR} (lists of numbers), or an .npy array [items, numbers] with a "
    "file .ids of the same name beside it, one item id a line"
)


def read_vectors(root: Path, path: str, sieve: Sieve) -> pa.Table:
    """The file that a dataset names: item_id, vector (lists of float32, not yet checked) and `SOURCE`.

    Raises:
        DatasetError: the path leaves the folder `root`, or the file cannot be read as either form.
    """
    problem = media_problem(path, root, max_bytes=MAX_BYTES)
    if problem is not None:
        raise DatasetError(f"{root}: vectors {path!r}: {problem.reason}: {problem.remedy}")
    file = root / path
    if file.suffix == ".parquet":
        return _conformed(file, read_parquet(file, sieve, root=root), sieve)
    if file.suffix == ".npy":
        return vector_table(_ids(file.with_suffix(".ids")), read_array(file), source=path)
    raise DatasetError(f"{file}: unknown form of vectors; accepted: {ACCEPTED}")


def read_array(file: Path) -> npt.NDArray[np.float32]:
    """A NumPy array of numbers [n, d] as float32; `DatasetError` for anything else, pickled objects among them."""
    try:
        # mapped, so that a header that promises more than the file holds costs no memory
        array = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{file}: not readable as an array: {str(error).splitlines()[0]}; {_REMEDY}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        what = f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise DatasetError(f"{file}: {what}; accepted: numbers [items, numbers]; {_REMEDY}")
    with np.errstate(over="ignore"):  # what float32 cannot hold is found when values are checked
        return np.asarray(array, np.float32)


_REMEDY: Final = "write it by numpy.save from an array of float32"


def vector_table(ids: Sequence[str], vectors: npt.NDArray[np.float32], *, source: str) -> pa.Table:
    """Rows [n, d] and their items' ids as `read_vectors` gives them; `DatasetError` where they are not as many."""
    if len(ids) != len(vectors):
        raise DatasetError(f"{source}: {len(vectors)} vectors and {len(ids)} ids; accepted: one id a vector, in order")
    n, width = vectors.shape
    offsets = pa.array(np.arange(n + 1) * width, pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(vectors).reshape(-1)))
    places = [f"{source} row {row}" for row in range(1, n + 1)]
    return pa.table({schema.ITEM_ID: pa.array(ids, pa.string()), VECTOR: lists, SOURCE: pa.array(places, pa.string())})


def check_vectors(given: pa.Table, item_ids: pa.ChunkedArray, sieve: Sieve) -> pa.Table:
    """Vectors of known items: item_id and vector (float32 [d]), one row an item, in the items' order.

    d is the commonest dimension; vectors of another, with a number that is not finite, or of zeros are rejected.
    """
    bad = pc.is_null(given[schema.ITEM_ID])
    given = sieve.reject(given, bad, "missing_item_id", column=schema.ITEM_ID, remedy="every row needs one")
    unknown = pc.invert(pc.is_in(given[schema.ITEM_ID], item_ids.combine_chunks()))
    given = sieve.reject(given, unknown, "unknown_item", column=schema.ITEM_ID, remedy="not among the items")
    repeated = np.ones(len(given), bool)
    repeated[np.unique(np.asarray(given[schema.ITEM_ID].to_pylist(), object), return_index=True)[1]] = False
    remedy = "the first row stays"
    given = sieve.reject(given, _column(repeated), "duplicate_item_id", column=schema.ITEM_ID, remedy=remedy)
    given = sieve.reject(
        given, pc.is_null(given[VECTOR]), "missing_vector", column=VECTOR, remedy="every row needs one"
    )
    sizes = pc.list_value_length(given[VECTOR]).to_numpy()
    dim = int(np.bincount(sizes).argmax()) if len(sizes) else 0
    remedy = f"accepted: {dim} numbers, as most rows have"
    given = sieve.reject(given, _column((sizes != dim) | (sizes == 0)), "bad_dimension", column=VECTOR, remedy=remedy)
    values = pc.list_flatten(given[VECTOR]).to_numpy(zero_copy_only=False).reshape(len(given), dim)
    finite = np.isfinite(values).all(axis=1)
    zero = finite & ~values.any(axis=1)
    given = sieve.reject(given, _column(~finite), "not_finite", column=VECTOR, remedy="accepted: finite numbers")
    given = sieve.reject(given, _column(zero[finite]), "zero_vector", column=VECTOR, remedy="leave the row out")
    flat = pa.array(np.ascontiguousarray(values[finite & ~zero], np.float32).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, max(dim, 1))
    good = pa.table({schema.ITEM_ID: given[schema.ITEM_ID], VECTOR: vectors})
    return good.take(pc.sort_indices(pc.index_in(good[schema.ITEM_ID], item_ids.combine_chunks())))


def _conformed(file: Path, table: pa.Table, sieve: Sieve) -> pa.Table:
    missing = [name for name in (schema.ITEM_ID, VECTOR) if name not in table.column_names]
    if missing:
        raise DatasetError(f"{file}: no column {', '.join(missing)}; accepted: {ACCEPTED}")
    table = conform({str(file): table}, IDS, required=IDS.names, sieve=sieve)
    kind = table[VECTOR].type
    nested = is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind)
    if not nested or not (is_a.is_floating(kind.value_type) or is_a.is_integer(kind.value_type)):
        raise DatasetError(f"{file}: column {VECTOR} is {kind}; accepted: {ACCEPTED}")
    lists = table[VECTOR].cast(pa.large_list(pa.float32()), safe=False).combine_chunks()
    return pa.table({schema.ITEM_ID: table[schema.ITEM_ID], VECTOR: lists, SOURCE: table[SOURCE]})


def _ids(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{file}: not readable as text ({error}); accepted: {ACCEPTED}; add it") from error


def _column(bad: npt.NDArray[np.bool_]) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(bad)])
