"""Arrow columns into packed rows and back, a column at a time.

Values inside a list cannot be null, as in Feast; a value that is NaN stays NaN.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.errors import StoreError, StoreUnavailableError
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
        nulls[:, place] = values.is_null().to_numpy(zero_copy_only=False)
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


def decode(layout: Layout, packed: Sequence[bytes], names: Iterable[str], fresh_from_us: int | None = None) -> Rows:
    """Columns of packed rows. fresh_from_us: values of rows of an earlier moment are null.

    Raises:
        StoreUnavailableError: the bytes are not rows of this layout.
    """
    size, n = layout.dtype.itemsize, len(packed)
    blob = b"".join(packed)
    heads = b"".join([row[:size] for row in packed]) if layout.segments else blob
    if len(heads) != n * size or len(blob) > _LARGEST:
        raise _damaged(layout)
    fixed = np.frombuffer(heads, layout.dtype) if n else np.zeros(0, layout.dtype)
    nulls = np.unpackbits(fixed[NULLS], axis=1, count=len(layout.columns)).astype(bool)
    if fresh_from_us is not None:
        nulls |= (fixed[EVENT] < fresh_from_us)[:, None]
    some: list[bool] = np.any(nulls, axis=0).tolist()
    segments = _Segments(layout, fixed, blob) if layout.segments else None
    columns: dict[str, pa.Array] = {}
    for name in names:
        place = layout.places[name]
        column, null = layout.columns[place], nulls[:, place] if some[place] else None
        if column.fixed:
            columns[name] = _array(column, fixed[name], null)
        elif segments:
            columns[name] = segments.column(column, null)
    return Rows(columns, np.ascontiguousarray(fixed[EVENT]))


def binary(lengths: npt.NDArray[np.int64], data: Numbers) -> pa.Array:
    """Stretches of an array's bytes, one behind the other, as an Arrow array."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] > _LARGEST:
        raise StoreError(f"{offsets[-1]} bytes in one batch; write fewer rows at once")
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.binary(), len(lengths), buffers)


class _Segments:
    """The varying parts of some rows, which lie row by row, seen as one Arrow array of stretches."""

    def __init__(self, layout: Layout, fixed: npt.NDArray[np.void], blob: bytes) -> None:
        self._layout, self._rows = layout, len(fixed)
        lengths = np.full((len(fixed), layout.segments + 1), layout.dtype.itemsize, np.int64)
        lengths[:, 1:] = fixed[LENGTHS]
        if lengths.sum() != len(blob):
            raise _damaged(layout)
        self._stretches = binary(lengths.ravel(), np.frombuffer(blob, np.uint8))

    def column(self, column: Column, null: npt.NDArray[np.bool_] | None) -> pa.Array:
        first = self._layout.first_segment[column.name]
        offsets, data = self._one(first)
        valid = _validity(null)
        if not column.is_list:
            return pa.Array.from_buffers(column.type, self._rows, [valid, offsets, data])
        starts = np.frombuffer(offsets, np.int32)
        if column.element is None:
            lengths = np.frombuffer(data, "<u4").astype(np.int64)
            _, text = self._one(first + 1)
            inner = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            values = pa.Array.from_buffers(column.type.value_type, len(lengths), [None, pa.py_buffer(inner), text])
            starts = starts // 4
        else:
            values = _array(column, np.frombuffer(data, column.element), None)
            starts = starts // column.element.itemsize
        return pa.Array.from_buffers(column.type, self._rows, [valid, pa.py_buffer(starts)], children=[values])

    def _one(self, segment: int) -> tuple[pa.Buffer, pa.Buffer]:
        """Offsets and bytes of one segment of every row."""
        every = self._layout.segments + 1
        taken = self._stretches.take(pa.array(np.arange(segment + 1, len(self._stretches), every)))
        _, offsets, data = taken.buffers()
        end = int(np.frombuffer(offsets, np.int32)[len(taken)])
        return offsets.slice(0, 4 * (len(taken) + 1)), data.slice(0, end) if data else pa.py_buffer(b"")


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
    numbers: Numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    return numbers


def _array(column: Column, numbers: Numbers, null: npt.NDArray[np.bool_] | None) -> pa.Array:
    """Arrow values of numbers (one a row, or a vector a row) in the bytes that a row holds."""
    if numbers.ndim == 2:
        flat = _array(column, numbers.ravel(), None)
        starts = np.arange(0, numbers.size + 1, column.width, dtype=np.int32)
        buffers = [_validity(null), pa.py_buffer(starts)]
        return pa.Array.from_buffers(column.type, len(numbers), buffers, children=[flat])
    kind = column.type.value_type if column.is_list else column.type
    if pa.types.is_boolean(kind):
        return pa.array(numbers.astype(bool), mask=null)
    values = pa.array(np.ascontiguousarray(numbers), mask=null)
    return values.view(kind) if pa.types.is_timestamp(kind) else values


def _validity(null: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    """Arrow's bits of what is not null; None where nothing is."""
    return None if null is None else pa.py_buffer(np.packbits(~null, bitorder="little"))


def _microseconds(moment: pa.ChunkedArray) -> pa.Array:
    return _one_chunk(moment.cast(TIMESTAMP, safe=False).cast(pa.int64()))


def _one_chunk(values: pa.ChunkedArray) -> pa.Array:
    whole = values.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _damaged(layout: Layout) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"rows of view {layout.view} in the online store are damaged; stop the servers, delete its folder, and run "
        "`trichord run`"
    )
