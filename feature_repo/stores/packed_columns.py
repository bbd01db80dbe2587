"""Packed rows into Arrow columns: scalars of one size are turned from rows into columns together, without copies after.

Rows come from the LMDB file or from a snapshot of it; what they are turned into is the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.errors import StoreUnavailableError
from feature_repo.stores import packed_kernels
from feature_repo.stores.packed_kernels import ABSENT, Bytes, Hashes, Lengths, Places
from feature_repo.stores.packed_layout import EVENT, LENGTHS, NULLS, Column, Layout, Scalars
from feature_repo.stores.packed_rows import Numbers, Rows

_LARGEST: Final = 2**31 - 1  # bytes that Arrow's offsets reach
_LENGTH: Final = np.dtype("<u4")  # of a text in a list
_NO_ROWS: Final = (np.empty((0, 0), np.uint64), np.zeros(1, np.int64), np.empty(0, np.uint8))
for _part in _NO_ROWS:
    _part.flags.writeable = False


@dataclass(frozen=True)
class Packed:
    """n rows as they lie.

    heads: `layout.dtype` [n], contiguous. ends: int64 [n + 1], where each row's part of varying length begins in
    `tails`, uint8, and the end. None of them can be written to, so that loops are compiled for them once.
    """

    layout: Layout
    heads: npt.NDArray[np.void]
    ends: Places
    tails: Bytes

    def __post_init__(self) -> None:
        for array in (self.heads, self.ends, self.tails):
            array.flags.writeable = False

    @cached_property
    def lengths(self) -> Lengths:
        """Of each row's segments, uint32 [n, s]."""
        return self.heads[LENGTHS].copy()

    def take(self, places: Places, more: "Packed | None" = None) -> "Packed":
        """Rows by their places; a row of no moment whose values are null for `ABSENT`.

        more: rows of the same layout, whose places follow.
        """
        nothing = np.frombuffer(self.layout.nothing, np.uint64)
        behind = _NO_ROWS if more is None else more._parts
        heads, ends, tails = packed_kernels.take_rows(places, nothing, *self._parts, *behind)
        return Packed(self.layout, heads.view(self.layout.dtype).ravel(), ends, tails)

    @cached_property
    def _parts(self) -> tuple[Hashes, Places, Bytes]:
        """Heads as words [n, w], ends, tails."""
        return self.heads.view(np.uint64).reshape(len(self.heads), -1), self.ends, self.tails


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
    tails = b"".join([row[size:] for row in packed]) if layout.segments else b""
    ends = np.zeros(len(packed) + 1, np.int64)
    if layout.segments:
        np.cumsum([len(row) - size for row in packed], out=ends[1:])
    return Packed(layout, fixed, ends, np.frombuffer(tails, np.uint8))


def decode(layout: Layout, packed: Packed, names: Sequence[str], fresh_from_us: int | None = None) -> Rows:
    """Columns of packed rows. fresh_from_us: values of rows of an earlier moment are null.

    Raises:
        StoreUnavailableError: the bytes are not rows of this layout.
    """
    fits = not layout.segments or packed_kernels.fit(packed.lengths, packed.ends, len(packed.tails))
    if not fits or len(packed.tails) > _LARGEST:
        raise damaged(layout)
    if fresh_from_us is not None:
        packed = _without_values(packed, packed.heads[EVENT] < fresh_from_us)
    valid, chosen = _Validity(packed), layout.chosen(tuple(names))
    columns: dict[str, pa.Array] = {}
    for scalars in chosen.scalars:
        columns |= _scalars(packed, scalars, valid)
    for column in chosen.vectors:
        columns[column.name] = _vectors(column, packed.heads[column.name], valid.of(layout.places[column.name]))
    for column in chosen.varying:
        columns[column.name] = _varying(packed, column, valid.of(layout.places[column.name]))
    return Rows(columns, np.ascontiguousarray(packed.heads[EVENT]))


def damaged(layout: Layout) -> StoreUnavailableError:
    """What to raise where bytes are not rows of their layout."""
    return StoreUnavailableError(
        f"rows of view {layout.view} in the online store are damaged; stop the servers, delete its folder, and run "
        "`trichord run`"
    )


def _without_values(packed: Packed, chosen: npt.NDArray[np.bool_]) -> Packed:
    """Rows of which the chosen ones have nothing but nulls and their moment; a null list is empty there."""
    if not chosen.any():
        return packed
    emptied = packed.take(np.where(chosen, ABSENT, np.arange(len(chosen))))
    heads = emptied.heads.copy()
    heads[EVENT] = packed.heads[EVENT]
    return replace(emptied, heads=heads)


class _Validity:
    """Arrow's bits of what is not null."""

    def __init__(self, packed: Packed) -> None:
        self._valid: npt.NDArray[np.uint8] | None = None
        nulls = packed.heads[NULLS]
        if nulls.any():
            self._valid = np.unpackbits(nulls, axis=1, count=len(packed.layout.columns)).T ^ np.uint8(1)

    def of(self, places: Places | int) -> pa.Buffer | None:
        """Bits of some columns, one behind the other, or of one; None where no row has any null."""
        return None if self._valid is None else pa.py_buffer(np.packbits(self._valid[places], bitorder="little"))


def _scalars(packed: Packed, scalars: Scalars, valid: _Validity) -> dict[str, pa.Array]:
    """Columns of scalars of one type: slices of one array that holds them all."""
    n, size = len(packed.heads), scalars.size
    words = packed.heads.view(f"u{size}").reshape(n, packed.layout.dtype.itemsize // size)
    block = np.ascontiguousarray(words[:, scalars.words].T)
    if pa.types.is_boolean(scalars.type):  # Arrow holds eight truth values in a byte
        block = np.packbits(block, bitorder="little")
    every = pa.Array.from_buffers(scalars.type, n * len(scalars.names), [valid.of(scalars.places), pa.py_buffer(block)])
    return {name: every.slice(place * n, n) for place, name in enumerate(scalars.names)}


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


def _varying(packed: Packed, column: Column, valid: pa.Buffer | None) -> pa.Array:
    """A column of texts or of lists of varying length."""
    first, n = packed.layout.first_segment[column.name], len(packed.heads)
    if not column.is_list:
        starts, text = _segment(packed, first, 1)
        return pa.Array.from_buffers(column.type, n, [valid, pa.py_buffer(starts), pa.py_buffer(text)])
    if column.element is not None:
        starts, data = _segment(packed, first, column.element.itemsize)
        values = _array(column, data.view(column.element))
    else:
        starts, data = _segment(packed, first, _LENGTH.itemsize)
        _, text = _segment(packed, first + 1, 1)
        ends = packed_kernels.text_ends(data.view(_LENGTH), len(text))
        if ends[-1] < 0:
            raise damaged(packed.layout)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
        values = pa.Array.from_buffers(column.type.value_type, len(ends) - 1, buffers)
    return pa.Array.from_buffers(column.type, n, [valid, pa.py_buffer(starts)], children=[values])


def _segment(packed: Packed, number: int, width: int) -> tuple[npt.NDArray[np.int32], Bytes]:
    """One segment of every row: where each one's begins and the end, in elements of a width, and the bytes."""
    found: tuple[npt.NDArray[np.int32], Bytes] = packed_kernels.segment(
        packed.lengths, packed.ends, packed.tails, number, width
    )
    if len(found[1]) % width:
        raise damaged(packed.layout)
    return found
