"""Lists of names as flat arrays, and what is counted over them in compiled loops: a name is looked at where it lies."""

from typing import NamedTuple, Self, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.columns import Places

Singles: TypeAlias = npt.NDArray[np.float32]
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
        return cls._of(np.asarray(lists.offsets), lists.values, lists)

    @classmethod
    def of_each(cls, strings: pa.StringArray) -> Self:
        """Strings as lists of one."""
        return cls._of(np.arange(len(strings) + 1, dtype=np.int32), strings, strings)

    @classmethod
    def _of(cls, first: npt.NDArray[np.int32], names: pa.StringArray, lists: pa.Array) -> Self:
        _, offsets, data = names.buffers()
        ends = np.frombuffer(offsets or bytes(4), np.int32)[names.offset :][: len(names) + 1]
        text = np.frombuffer(data or b"", np.uint8)
        return cls(first, ends, text, hashes(ends, text), nulls(lists))


class Numbers(NamedTuple):
    """n lists of numbers. first: int32 [n + 1], place of each list's first number, and the end. values: float64 [m]."""

    first: npt.NDArray[np.int32]
    values: Floats

    @classmethod
    def of_lists(cls, lists: pa.ListArray) -> Self:
        """Lists of numbers, in which none is null."""
        return cls(np.asarray(lists.offsets), np.asarray(lists.values, np.float64))

    @classmethod
    def ones(cls, names: Names) -> Self:
        """A one for each name."""
        return cls(names.first, np.ones(len(names.hashes)))


def nulls(values: pa.Array) -> Bools:
    """Whether each value is null, bool [n]."""
    if not values.null_count:
        return np.zeros(len(values), np.bool_)
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


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


@numba.njit(cache=True, nogil=True)
def _number(numbers: Numbers, row: int, place: int) -> float:
    at = numbers.first[row] + place
    return numbers.values[at] if at < numbers.first[row + 1] else 0.0


@numba.njit(cache=True, nogil=True)
def _same(some: Names, name: int, others: Names, other: int) -> bool:
    begin, there = some.ends[name], others.ends[other]
    size = some.ends[name + 1] - begin
    if some.hashes[name] != others.hashes[other] or others.ends[other + 1] - there != size:
        return False
    for step in range(size):
        if some.data[begin + step] != others.data[there + step]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def mean_weights(names: Names, held: Names, holder: Places, weights: Numbers) -> tuple[Singles, Bools]:
    """Mean over a row's names of the weights that its holder gives them, float32 [n]; and where it is null, bool [n].

    holder: (n,) a place in `held` and `weights`. A name that is not held, or has no weight, weighs 0; one that is held
    twice weighs what it does first. Null where a row has no names, or its holder's list is null.
    """
    mean, null = np.zeros(len(holder), np.float32), np.empty(len(holder), np.bool_)
    for row in range(len(holder)):
        first, end, by = names.first[row], names.first[row + 1], holder[row]
        null[row] = names.null[row] or first == end or held.null[by]
        if null[row]:
            continue
        total = 0.0
        for name in range(first, end):
            for place in range(held.first[by], held.first[by + 1]):
                if _same(names, name, held, place):
                    total += _number(weights, by, place - held.first[by])
                    break
        mean[row] = total / (end - first)
    return mean, null


@numba.njit(cache=True, nogil=True)
def named_counts(asked: Names, of_row: Places, names: Names, counts: Numbers) -> tuple[Floats, Floats, Floats]:
    """Of each row: the count of the name asked for, that of all names, and how many names there are, float64 [n] each.

    of_row: (n,) a place in `asked`, whose lists hold one name each; that name is one of the names, counted or not. A
    name without a count counts 0.
    """
    n = len(of_row)
    chosen, total, known = np.zeros(n), np.zeros(n), np.zeros(n)
    for row in range(n):
        first = names.first[row]
        size = 0 if names.null[row] else names.first[row + 1] - first
        there = False
        for place in range(size):
            count = _number(counts, row, place)
            total[row] += count
            if not asked.null[of_row[row]] and _same(asked, of_row[row], names, first + place):
                there = True
                chosen[row] += count
        known[row] = size if there else size + 1
    return chosen, total, known
