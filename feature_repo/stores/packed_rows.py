"""Arrow columns into packed rows, a column at a time; `packed_columns` is the way back.

Values inside a list cannot be null, as in Feast; a value that is NaN stays NaN.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.errors import StoreError
from feature_repo.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP, TIMESTAMP
from feature_repo.stores.packed_layout import CREATED, EVENT, LENGTHS, NEVER, NULLS, Column, Layout

Numbers = npt.NDArray[np.generic]
_LARGEST: Final = 2**31 - 1  # bytes that Arrow's offsets reach


@dataclass(frozen=True)
class Moments:
    """When rows were so (`event_us`) and when they were written (`created_us`, `NEVER` if unknown), in microseconds."""

    event_us: npt.NDArray[np.int64]
    created_us: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows as read, in the order asked for. event_us: `NEVER` where there is no row. columns: by name."""

    columns: dict[str, pa.Array]
    event_us: npt.NDArray[np.int64]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether there is a row, also where it has expired."""
        return np.not_equal(self.event_us, NEVER)

    def take(self, places: npt.NDArray[np.int64]) -> "Rows":
        """Rows by their places."""
        taken = pa.array(places)
        return Rows({name: values.take(taken) for name, values in self.columns.items()}, self.event_us[places])


def moments(rows: pa.Table) -> Moments:
    """Moments of rows by their columns event_timestamp and, if there is one, created_timestamp; without a zone, UTC.

    Raises:
        StoreError: a row has no event_timestamp.
    """
    event = _microseconds(rows[EVENT_TIMESTAMP])
    if event.null_count:
        raise StoreError(f"{event.null_count} of {len(rows)} rows have no {EVENT_TIMESTAMP}; give every row one")
    created = pa.nulls(len(rows), pa.int64())
    if CREATED_TIMESTAMP in rows.column_names:
        created = _microseconds(rows[CREATED_TIMESTAMP])
    return Moments(event.to_numpy(zero_copy_only=False), created.fill_null(NEVER).to_numpy(zero_copy_only=False))


def encode(layout: Layout, rows: pa.Table, when: Moments) -> list[bytes]:
    """Packed rows of a table that has the layout's columns, in its types.

    Raises:
        StoreError: a list holds a null, or a vector is not of its length.
    """
    fixed = np.zeros(len(rows), layout.dtype)
    fixed[EVENT], fixed[CREATED] = when.event_us, when.created_us
    nulls = np.empty((len(rows), len(layout.columns)), bool)
    segments: list[pa.Array] = []
    for place, column in enumerate(layout.columns):
        values = _one_chunk(rows[column.name])
        nulls[:, place] = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else False
        if column.fixed:
            fixed[column.name] = _fixed(column, values, ~nulls[:, place])
        else:
            segments += _varying(column, values)
    fixed[NULLS] = np.packbits(nulls, axis=1)
    for place, segment in enumerate(segments):
        fixed[LENGTHS][:, place] = pc.binary_length(segment).to_numpy(zero_copy_only=False)
    head = binary(np.full(len(rows), layout.dtype.itemsize), fixed)
    joined = pc.binary_join_element_wise(head, *segments, b"") if segments else head
    packed: list[bytes] = joined.to_numpy(zero_copy_only=False).tolist()
    return packed


def binary(lengths: npt.NDArray[np.int64], data: Numbers) -> pa.Array:
    """Stretches of an array's bytes, one behind the other, as an Arrow array."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] > _LARGEST:
        raise StoreError(f"{offsets[-1]} bytes in one batch; write fewer rows at once")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)


def _fixed(column: Column, values: pa.Array, present: npt.NDArray[np.bool_]) -> Numbers:
    """Numbers of a column of fixed size, zero where it is null."""
    if not column.width:
        return _numbers(values)
    lengths = values.value_lengths().to_numpy(zero_copy_only=False)[present]
    if (lengths != column.width).any():
        raise StoreError(f"{column.name} has vectors of {sorted(set(lengths.tolist()))} numbers; wanted {column.width}")
    vectors = np.zeros((len(values), column.width), column.element)
    vectors[present] = _numbers(_whole(column, values.flatten())).reshape(-1, column.width)
    return vectors


def _varying(column: Column, values: pa.Array) -> list[pa.Array]:
    """Segments of a column of varying size, empty where it is null."""
    if not column.is_list:
        return [values.cast(pa.binary()).fill_null(b"")]
    counts = values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    inner = _whole(column, values.flatten())
    if column.element is not None:
        return [binary(counts * column.element.itemsize, _numbers(inner))]
    text = inner.cast(pa.binary())
    lengths = pc.binary_length(text).to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(lengths)])[np.cumsum(counts)]
    joined = np.frombuffer(b"".join(text.to_pylist()), np.uint8)
    return [binary(counts * 4, lengths.astype("<u4")), binary(np.diff(ends, prepend=0), joined)]


def _whole(column: Column, inner: pa.Array) -> pa.Array:
    if inner.null_count:
        raise StoreError(f"{column.name} has lists with {inner.null_count} nulls inside; leave them out")
    return inner


def _numbers(values: pa.Array) -> Numbers:
    """Numbers in the bytes that a row holds, zero where they are null."""
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    filled = values.fill_null(0) if values.null_count else values
    numbers: Numbers = filled.to_numpy(zero_copy_only=False)
    return numbers


def _microseconds(moment: pa.ChunkedArray) -> pa.Array:
    whole = _one_chunk(moment)
    return (whole if whole.type == TIMESTAMP else whole.cast(TIMESTAMP, safe=False)).view(pa.int64())


def _one_chunk(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole
