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
    word, first = np.uint64(0), start + place * _WORD
    for step in range(min(length - place * _WORD, _WORD)):
        word |= np.uint64(data[first + step]) << np.uint64(8 * step)
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
def ranges(known: Hashes) -> Offsets:
    """Where those of some ascending hashes begin that have the same first bits, and the end: as many ranges as hashes.

    Rounded up to a power of two; so most ranges hold one hash or none, and a hash is found in one step.
    """
    bits = 1
    while 1 << bits < len(known):
        bits += 1
    starts, spot = np.empty((1 << bits) + 1, np.int32), 0
    for number in range(1 << bits):
        while spot < len(known) and known[spot] >> np.uint64(64 - bits) < number:
            spot += 1
        starts[number] = spot
    starts[-1] = len(known)
    return starts


@numba.njit(cache=True, nogil=True)
def find(
    asked: Hashes,
    data: Bytes,
    starts: Places,
    lengths: Places,
    known: Hashes,
    known_ranges: Offsets,
    slot_places: Lengths,
    slot_lengths: Lengths,
    slot_words: Hashes,
    keys: Bytes,
    key_ends: Places,
) -> Places:
    """Places of the keys asked for, whose hashes and bytes are given, `ABSENT` where they are not known, int64 [n].

    known: hashes of all keys, ascending; known_ranges: their `ranges`. slot_*: of each of them the place, the length,
    and some first words. keys, key_ends: bytes of all keys by their places, and where each one begins and ends.
    """
    places = np.full(len(asked), ABSENT, np.int64)
    shift = _shift(known_ranges)
    for text in range(len(asked)):
        spot, end = _span(asked[text], known, known_ranges, shift)
        while spot < end and known[spot] == asked[text]:  # two keys of one hash stand behind one another
            length, begin = lengths[text], starts[text]
            same = slot_lengths[spot] == length
            for word in range(min(slot_words.shape[1], (length + _WORD - 1) // _WORD)):
                same &= slot_words[spot, word] == word_of(data, begin, length, word)
            if same and length > slot_words.shape[1] * _WORD:
                same = _same(data[begin : begin + length], keys, key_ends, slot_places[spot])
            if same:
                places[text] = slot_places[spot]
                break
            spot += 1
    return places


@numba.njit(cache=True, nogil=True)
def among(asked: Hashes, known: Hashes, known_ranges: Offsets) -> Places:
    """Places of hashes among known ones, distinct and ascending, `ABSENT` where they are not there, int64 [n].

    known_ranges: their `ranges`.
    """
    places = np.full(len(asked), ABSENT, np.int64)
    shift = _shift(known_ranges)
    for text in range(len(asked)):
        spot, end = _span(asked[text], known, known_ranges, shift)
        if spot < end and known[spot] == asked[text]:
            places[text] = spot
    return places


@numba.njit(cache=True, nogil=True)
def _shift(known_ranges: Offsets) -> np.uint64:
    """Bits of a hash that its range leaves open."""
    shift = np.uint64(64)
    while np.int64(1) << np.int64(64 - shift) < len(known_ranges) - 1:
        shift -= np.uint64(1)
    return shift


@numba.njit(cache=True, nogil=True)
def _span(asked: np.uint64, known: Hashes, known_ranges: Offsets, shift: np.uint64) -> tuple[int, int]:
    """Where a hash stands among the known ones, or would, and where its range ends."""
    number = np.int64(asked >> shift)
    spot, end = known_ranges[number], known_ranges[number + 1]
    beyond = end
    while spot < beyond:
        middle = (spot + beyond) // 2
        if known[middle] < asked:
            spot = middle + 1
        else:
            beyond = middle
    return spot, end


@numba.njit(cache=True, nogil=True)
def _same(key: Bytes, keys: Bytes, key_ends: Places, place: int) -> bool:
    if place + 1 >= len(key_ends) or not 0 <= key_ends[place] <= len(keys) - len(key):
        return False
    return np.array_equal(key, keys[key_ends[place] : key_ends[place] + len(key)])


@numba.njit(cache=True, nogil=True)
def take_rows(
    places: Places,
    nothing: Hashes,
    heads: Hashes,
    ends: Places,
    tails: Bytes,
    more_heads: Hashes,
    more_ends: Places,
    more_tails: Bytes,
) -> tuple[Hashes, Places, Bytes]:
    """Heads, ends and tails of rows by their places; `nothing`, with an empty tail, where a place is not there.

    heads: (n, w) words. ends: (n + 1,) where each row's tail begins, and the end. more_*: rows whose places follow.
    """
    n, width = heads.shape
    found, found_ends = np.empty((len(places), width), heads.dtype), np.zeros(len(places) + 1, np.int64)
    begins = np.zeros(len(places), np.int64)
    for row in range(len(places)):
        place, size = places[row], 0
        if 0 <= place < n:
            found[row] = heads[place]
            if 0 <= ends[place] <= ends[place + 1] <= len(tails):
                begins[row], size = ends[place], ends[place + 1] - ends[place]
        elif n <= place < n + len(more_heads):
            place -= n
            found[row] = more_heads[place]
            if 0 <= more_ends[place] <= more_ends[place + 1] <= len(more_tails):
                begins[row], size = more_ends[place], more_ends[place + 1] - more_ends[place]
        else:
            found[row] = nothing
        found_ends[row + 1] = found_ends[row] + size
    found_tails = np.empty(found_ends[-1], np.uint8)
    for row in range(len(places)):
        begin, size = begins[row], found_ends[row + 1] - found_ends[row]
        if places[row] < n:
            found_tails[found_ends[row] : found_ends[row + 1]] = tails[begin : begin + size]
        else:
            found_tails[found_ends[row] : found_ends[row + 1]] = more_tails[begin : begin + size]
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


@numba.njit(cache=True, nogil=True)
def text_ends(lengths: Lengths, size: int) -> Offsets:
    """Where each of some texts begins, and the end, int32 [n + 1]; -1 the end where they are not of a size in all."""
    ends, end = np.zeros(len(lengths) + 1, np.int32), 0
    for text in range(len(lengths)):
        end += lengths[text]
        if end > size:
            break
        ends[text + 1] = end
    if end != size:
        ends[-1] = -1
    return ends
