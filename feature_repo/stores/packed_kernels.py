"""Loops over packed rows and their keys, compiled when first called and kept beside this file.

What they are given may come from a damaged file: they read nothing beyond the arrays that they are given.
"""

from typing import TypeAlias

import numba
import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Lengths: TypeAlias = npt.NDArray[np.uint32]
Offsets: TypeAlias = npt.NDArray[np.int32]
Places: TypeAlias = npt.NDArray[np.int64]

ABSENT = -1  # place of what is not there
_WORD = 8
_FACTOR = 0x9E3779B97F4A7C15  # 2^64 over the golden ratio
_SHIFT = 32


@numba.njit(cache=True, nogil=True)
def word_of(data: Bytes, start: int, length: int, place: int) -> np.uint64:
    """The eight bytes of a stretch from `place * 8` on as a number, the first one lowest, zero beyond its end."""
    word = np.uint64(0)
    for step in range(min(length - place * _WORD, _WORD)):
        word |= np.uint64(data[start + place * _WORD + step]) << np.uint64(8 * step)
    return word


@numba.njit(cache=True, nogil=True)
def words(data: Bytes, starts: Places, lengths: Places, place: int) -> Hashes:
    """`word_of` every stretch."""
    found = np.empty(len(starts), np.uint64)
    for text in range(len(starts)):
        found[text] = word_of(data, starts[text], lengths[text], place)
    return found


@numba.njit(cache=True, nogil=True)
def hashes(data: Bytes, starts: Places, lengths: Places) -> Hashes:
    """A hash of every stretch, by its length and its words."""
    found = np.empty(len(starts), np.uint64)
    for text in range(len(starts)):
        mixed = np.uint64(lengths[text])
        for place in range((lengths[text] + _WORD - 1) // _WORD):
            mixed = (mixed ^ word_of(data, starts[text], lengths[text], place)) * np.uint64(_FACTOR)
            mixed ^= mixed >> np.uint64(_SHIFT)
        found[text] = mixed
    return found


@numba.njit(cache=True, nogil=True)
def find(
    asked: Hashes,
    data: Bytes,
    starts: Places,
    lengths: Places,
    known: Hashes,
    slot_places: Lengths,
    slot_lengths: Lengths,
    slot_words: Hashes,
    keys: Bytes,
    key_ends: Places,
) -> Places:
    """Places of the keys asked for, whose hashes and bytes are given, `ABSENT` where they are not known, int64 [n].

    known: hashes of all keys, ascending. slot_*: of each of them the place, the length, and some first words. keys,
    key_ends: bytes of all keys by their places, and where each one begins and ends.
    """
    places = np.full(len(asked), ABSENT, np.int64)
    for text in range(len(asked)):
        spot = np.searchsorted(known, asked[text])
        while spot < len(known) and known[spot] == asked[text]:  # two keys of one hash stand behind one another
            if slot_lengths[spot] == lengths[text] and _is_key(
                data, starts[text], lengths[text], slot_places[spot], slot_words[spot], keys, key_ends
            ):
                places[text] = slot_places[spot]
                break
            spot += 1
    return places


@numba.njit(cache=True, nogil=True)
def _is_key(data: Bytes, start: int, length: int, place: int, first: Hashes, keys: Bytes, key_ends: Places) -> bool:
    for number in range(min(len(first), (length + _WORD - 1) // _WORD)):
        if first[number] != word_of(data, start, length, number):
            return False
    left = length - len(first) * _WORD
    if left <= 0:
        return True
    begin = key_ends[place] + len(first) * _WORD if place < len(key_ends) - 1 else -1
    if begin < 0 or begin + left > len(keys):
        return False
    for step in range(left):  # noqa: SIM110 - numba knows no `all` of a generator
        if keys[begin + step] != data[start + length - left + step]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def take_rows(
    heads: Hashes, ends: Places, tails: Bytes, places: Places, nothing: Hashes
) -> tuple[Hashes, Places, Bytes]:
    """Heads, ends and tails of rows by their places; `nothing`, with an empty tail, where a place is not there.

    heads: (n, w) words. ends: (n + 1,) where each row's tail begins, and the end.
    """
    found, found_ends = np.empty((len(places), heads.shape[1]), heads.dtype), np.zeros(len(places) + 1, np.int64)
    begins = np.zeros(len(places), np.int64)
    for row in range(len(places)):
        place, size = places[row], 0
        if 0 <= place < len(heads):
            found[row] = heads[place]
            if 0 <= ends[place] <= ends[place + 1] <= len(tails):
                begins[row], size = ends[place], ends[place + 1] - ends[place]
        else:
            found[row] = nothing
        found_ends[row + 1] = found_ends[row] + size
    found_tails = np.empty(found_ends[-1], np.uint8)
    for row in range(len(places)):
        size = found_ends[row + 1] - found_ends[row]
        found_tails[found_ends[row] : found_ends[row + 1]] = tails[begins[row] : begins[row] + size]
    return found, found_ends, found_tails


@numba.njit(cache=True, nogil=True)
def fit(lengths: Lengths, ends: Places, size: int) -> bool:
    """Whether the lengths of rows' segments, (n, s), are those of their tails, and these together of a size."""
    if ends[0] != 0 or ends[-1] != size:
        return False
    for row in range(len(lengths)):
        total = 0
        for number in range(lengths.shape[1]):
            total += lengths[row, number]
        if ends[row] + total != ends[row + 1]:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def segment(lengths: Lengths, ends: Places, tails: Bytes, number: int, width: int) -> tuple[Offsets, Bytes]:
    """One segment of all rows, one behind the other: where each row's begins and the end, in elements, and its bytes.

    Of rows that `fit`. width: bytes of an element.
    """
    n = len(lengths)
    offsets, size = np.zeros(n + 1, np.int32), 0
    for row in range(n):
        size += lengths[row, number]
        offsets[row + 1] = size // width
    found, place = np.empty(size, np.uint8), 0
    for row in range(n):
        begin = ends[row]
        for before in range(number):
            begin += lengths[row, before]
        for step in range(lengths[row, number]):
            found[place + step] = tails[begin + step]
        place += lengths[row, number]
    return offsets, found
