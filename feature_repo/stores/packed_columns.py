"""Packed rows into Arrow columns: scalars of one size are turned from rows into columns together, without copies after.

Rows come from the LMDB file or from a snapshot of it; what they are turned into is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.errors import StoreUnavailableError
from feature_repo.stores.packed_layout import EVENT, LENGTHS, NULLS, Column, Layout
from feature_repo.stores.packed_rows import Numbers, Rows, binary

Places = npt.NDArray[np.int64]
_LARGEST: Final = 2**31 - 1  # bytes that Arrow's offsets reach


@dataclass(frozen=True)
class Packed:
    """Rows as they lie: `layout.dtype` a row, and what varies in length; tails is None where nothing does."""

    heads: npt.NDArray[np.void]
    tails: pa.LargeBinaryArray | None

    def take(self, places: Places) -> "Packed":
        """Rows by their places."""
        tails = None if self.tails is None else self.tails.take(pa.array(places))
        return Packed(self.heads.take(places), tails)


def unpacked(layout: Layout, packed: Sequence[bytes]) -> Packed:
    """Rows of a layout by their bytes.

    Raises:
        StoreUnavailableError: the bytes are not rows of this layout.
    """
    size = layout.dtype.itemsize
    heads = b"".join([row[:size] for row in packed]) if layout.segments else b"".join(packed)
    if len(heads) != len(packed) * size:
        raise damaged(layout)
    fixed = np.frombuffer(heads, layout.dtype) if packed else np.zeros(0, layout.dtype)
    if not layout.segments:
        return Packed(fixed, None)
    tails = b"".join([row[size:] for row in packed])
    ends = np.cumsum(fixed[LENGTHS].sum(axis=1, dtype=np.int64))
    if (ends[-1] if len(ends) else 0) != len(tails):
        raise damaged(layout)
    return Packed(fixed, stretches(np.concatenate([[0], ends]), pa.py_buffer(tails)))


def stretches(offsets: Places, data: pa.Buffer) -> pa.LargeBinaryArray:
    """Stretches of bytes between offsets, which are one more."""
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), data])


def decode(layout: Layout, packed: Packed, names: Sequence[str], fresh_from_us: int | None = None) -> Rows:
    """Columns of packed rows. fresh_from_us: values of rows of an earlier moment are null.

    Raises:
        StoreUnavailableError: the bytes are not rows of this layout.
    """
    if fresh_from_us is not None:
        packed = _without_values(packed, packed.heads[EVENT] < fresh_from_us)
    heads = np.ascontiguousarray(packed.heads)
    valid = _Validity(layout, heads)
    columns: dict[str, pa.Array] = {}
    for size, of_size in layout.scalars(tuple(names)).items():
        columns |= _scalars(layout, heads, size, of_size, valid)
    segments = None
    for name in names:
        column = layout.columns[layout.places[name]]
        if column.fixed and column.width:
            columns[name] = _vectors(column, heads[name], valid.of(name))
        elif not column.fixed:
            segments = segments or _Segments(layout, heads, packed.tails)
            columns[name] = segments.column(column, valid.of(name))
    return Rows(columns, np.ascontiguousarray(heads[EVENT]))


def damaged(layout: Layout) -> StoreUnavailableError:
    """What to raise where bytes are not rows of their layout."""
    return StoreUnavailableError(
        f"rows of view {layout.view} in the online store are damaged; stop the servers, delete its folder, and run "
        "`trichord run`"
    )


def _without_values(packed: Packed, chosen: npt.NDArray[np.bool_]) -> Packed:
    """Rows of which the chosen ones have nothing but nulls; a null list is empty, which Arrow does not demand."""
    if not chosen.any():
        return packed
    heads = packed.heads.copy()
    heads[NULLS][chosen] = 255
    if packed.tails is None:
        return Packed(heads, None)
    heads[LENGTHS][chosen] = 0
    return Packed(heads, packed.tails.take(pa.array(np.arange(len(heads)), mask=chosen)))


class _Validity:
    """Arrow's bits of what is not null, a column."""

    def __init__(self, layout: Layout, heads: npt.NDArray[np.void]) -> None:
        self._places = layout.places
        self._bits: npt.NDArray[np.uint8] | None = None
        if heads[NULLS].any():
            nulls = np.unpackbits(heads[NULLS], axis=1, count=len(layout.columns))
            self._some: list[bool] = np.any(nulls, axis=0).tolist()
            self._bits = np.packbits(np.ascontiguousarray(nulls.T ^ 1), axis=1, bitorder="little")

    @property
    def any(self) -> bool:
        """Whether anything is null."""
        return self._bits is not None

    def of(self, name: str) -> pa.Buffer | None:
        """Bits of one column; None where nothing is null."""
        place = self._places[name]
        return pa.py_buffer(self._bits[place]) if self._bits is not None and self._some[place] else None


def _scalars(
    layout: Layout, heads: npt.NDArray[np.void], size: int, names: Sequence[str], valid: _Validity
) -> dict[str, pa.Array]:
    """Columns of scalars of one size in bytes."""
    n = len(heads)
    words = heads.view(f"u{size}").reshape(n, layout.dtype.itemsize // size)
    first = [layout.offsets[name] // size for name in names]
    together = first[-1] - first[0] == len(first) - 1
    block = np.ascontiguousarray((words[:, first[0] : first[-1] + 1] if together else words[:, first]).T)
    if size == 1:  # Arrow holds eight truth values in a byte
        block = np.packbits(block, axis=1, bitorder="little")
    step, buffer = block.shape[1] * size, pa.py_buffer(block)
    kinds = {layout.columns[layout.places[name]].type for name in names}
    if size > 1 and len(kinds) == 1 and not valid.any:
        every = pa.Array.from_buffers(kinds.pop(), n * len(names), [None, buffer])
        return {name: every.slice(place * n, n) for place, name in enumerate(names)}
    columns = {}
    for place, name in enumerate(names):
        buffers = [valid.of(name), buffer.slice(place * step, step)]
        columns[name] = pa.Array.from_buffers(layout.columns[layout.places[name]].type, n, buffers)
    return columns


def _vectors(column: Column, numbers: Numbers, valid: pa.Buffer | None) -> pa.Array:
    """A column of vectors of a fixed length."""
    starts = np.arange(0, numbers.size + 1, column.width, dtype=np.int32)
    flat = _array(column, np.ascontiguousarray(numbers).ravel())
    return pa.Array.from_buffers(column.type, len(numbers), [valid, pa.py_buffer(starts)], children=[flat])


def _array(column: Column, numbers: Numbers) -> pa.Array:
    """The elements of lists, by the bytes that a row holds."""
    kind = column.type.value_type
    data = np.packbits(numbers.astype(bool), bitorder="little") if pa.types.is_boolean(kind) else numbers
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(data)])


class _Segments:
    """The varying parts of some rows, which lie row by row, brought together segment by segment."""

    def __init__(self, layout: Layout, heads: npt.NDArray[np.void], tails: pa.LargeBinaryArray) -> None:
        self._layout, self._rows = layout, len(heads)
        lengths = heads[LENGTHS].astype(np.int64).ravel()
        _, offsets, data = tails.buffers()
        ends = np.frombuffer(offsets, np.int64)[tails.offset :][: self._rows + 1]
        if lengths.sum() != ends[-1] - ends[0] or ends[-1] - ends[0] > _LARGEST:
            raise damaged(layout)
        by_row = binary(lengths, np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]])
        order = np.arange(len(lengths)).reshape(-1, layout.segments).T.ravel()  # one segment of all rows after another
        _, offsets, self._data = by_row.take(pa.array(order)).buffers()
        self._offsets = np.frombuffer(offsets, np.int32)[: len(order) + 1]

    def column(self, column: Column, valid: pa.Buffer | None) -> pa.Array:
        """A column of texts or of lists of varying length."""
        first = self._layout.first_segment[column.name]
        offsets, data = self._one(first)
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
            values = _array(column, np.frombuffer(data, column.element))
            starts = starts // column.element.itemsize
        return pa.Array.from_buffers(column.type, self._rows, [valid, pa.py_buffer(starts)], children=[values])

    def _one(self, segment: int) -> tuple[pa.Buffer, pa.Buffer]:
        """Offsets and bytes of one segment of every row."""
        offsets = self._offsets[segment * self._rows : (segment + 1) * self._rows + 1]
        first, end = int(offsets[0]), int(offsets[-1])
        data = self._data.slice(first, end - first) if self._data else pa.py_buffer(b"")
        return pa.py_buffer(offsets - offsets[0]), data
