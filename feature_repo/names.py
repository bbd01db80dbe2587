"""Lists of names and of numbers as flat arrays, as compiled loops take them: every name is looked at where it lies."""

from typing import NamedTuple, Self, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.columns import nulls

Floats: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]

_FNV_BASIS = 0xCBF29CE484222325  # FNV-1a, Fowler, Noll and Vo (1991)
_FNV_PRIME = 0x100000001B3


class Names(NamedTuple):
    """n lists of names, one list after the other.

    first: int32 [n + 1], place of each list's first name, and the end. ends: int32 [m + 1], where each name begins in
    the bytes, and the end. data: uint8. hashes: uint64 [m]. null: bool [n]; a list that is null has no names.
    """

    first: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    data: npt.NDArray[np.uint8]
    hashes: npt.NDArray[np.uint64]
    null: Bools

    @classmethod
    def of_lists(cls, lists: pa.ListArray) -> Self:
        """Lists of strings, in which no name is null."""
        return cls._of(*_inside(lists), lists)

    @classmethod
    def of_each(cls, strings: pa.StringArray) -> Self:
        """Strings as lists of one."""
        return cls._of(np.arange(len(strings) + 1, dtype=np.int32), strings, strings)

    @classmethod
    def _of(cls, first: npt.NDArray[np.int32], names: pa.StringArray, lists: pa.Array) -> Self:
        _, offsets, data = names.buffers()
        ends = np.frombuffer(offsets or bytes(4), np.int32)[names.offset :][: len(names) + 1]
        text = np.frombuffer(data or b"", np.uint8)
        ends.flags.writeable = text.flags.writeable = False  # whosever they are: loops are compiled for them once
        return cls(first, ends, text, hashes(ends, text), nulls(lists))


class Numbers(NamedTuple):
    """n lists of numbers. first: int32 [n + 1], place of each list's first number, and the end. values: float64 [m]."""

    first: npt.NDArray[np.int32]
    values: Floats

    @classmethod
    def of_lists(cls, lists: pa.ListArray) -> Self:
        """Lists of numbers, in which none is null."""
        first, values = _inside(lists)
        return cls(first, np.asarray(values, np.float64))

    @classmethod
    def ones(cls, names: Names) -> Self:
        """A one for each name."""
        return cls(names.first, np.ones(len(names.hashes)))


def _inside(lists: pa.ListArray) -> tuple[npt.NDArray[np.int32], pa.Array]:
    """Where each list begins in the values of all, and the end; and these values alone."""
    offsets, values = lists.buffers()[1], lists.values
    first = np.frombuffer(offsets or bytes(4), np.int32)[lists.offset :][: len(lists) + 1]
    if first[0] or first[-1] != len(values):
        values = values.slice(first[0], first[-1] - first[0])
    return first - first[0], values


@numba.njit(cache=True, nogil=True)
def hashes(ends: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """A hash of each stretch between two ends, uint64 [m]."""
    found = np.empty(len(ends) - 1, np.uint64)
    for name in range(len(found)):
        mixed = np.uint64(_FNV_BASIS)
        for place in range(ends[name], ends[name + 1]):
            mixed = (mixed ^ np.uint64(data[place])) * np.uint64(_FNV_PRIME)
        found[name] = mixed
    return found
