"""Loops that numpy makes many passes of, compiled when first called and kept beside this file."""

import numba
import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Places = npt.NDArray[np.integer]


@numba.njit(cache=True, nogil=True)
def ascending_keys(scores: Floats) -> npt.NDArray[np.int64]:
    """Integers [q, n] that sort as (descending score, ascending code) and carry the code in their lower half."""
    keys = np.empty(scores.shape, np.int64)
    for row in range(len(scores)):
        bits = (scores[row] + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
        for code in range(len(bits)):
            keys[row, code] = _key(bits[code], code)
    return keys


@numba.njit(cache=True, nogil=True)
def offered_keys(scores: Floats, offered: Bools) -> npt.NDArray[np.int64]:
    """`ascending_keys` of [n] scores, as if those that are not offered, bool [n], were minus infinity."""
    keys = np.empty(len(scores), np.int64)
    bits = (scores + np.float32(0)).view(np.int32)
    for code in range(len(bits)):
        keys[code] = _key(bits[code] if offered[code] else np.int32(-0x800000), code)
    return keys


@numba.njit(cache=True, nogil=True)
def _key(bits: np.int32, code: int) -> np.int64:
    """Of a float32's bits: IEEE 754, as integers in the order of the floats."""
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))
    return (np.int64(~ordered) << 32) | code


@numba.njit(cache=True, nogil=True)
def set_places(places: Places, keys: npt.NDArray[np.int64], end: int) -> None:
    """Tell each code of rows of keys, ascending [q, k], its place, from 1; keys from `end` on have none."""
    for row in range(len(keys)):
        for place in range(keys.shape[1]):
            if keys[row, place] >= end:
                break
            places[row, keys[row, place] & 0xFFFFFFFF] = place + 1


@numba.njit(cache=True, nogil=True)
def add_votes(total: Doubles, places: Places, votes: Doubles, quiet_votes: Doubles, quiet: Bools) -> None:
    """Add to each of [n] what its place [g, n] by each of some voters is worth; some are quiet, bool [g]."""
    for voter in range(len(places)):
        worth = quiet_votes if quiet[voter] else votes
        for code in range(len(total)):
            total[code] += worth[places[voter, code]]


@numba.njit(cache=True, nogil=True)
def set_merit(merit: Floats, fused: Doubles, places: Places, reserved: Places) -> None:
    """Fill [n] with fused values, 1 more where any of some [g, n] places is reserved; minus infinity where it is 0.

    reserved: [g], how many of the first places of each are.
    """
    for code in range(len(merit)):
        first = 0  # fused < 1 for fewer than 60 generators
        for voter in range(len(places)):
            if 0 < places[voter, code] <= reserved[voter]:
                first = 1
        merit[code] = fused[code] + first if fused[code] > 0 else -np.inf


@numba.njit(cache=True, nogil=True)
def gather_places(found: Places, score: Floats, item: Places, places: Places, scores: Floats) -> None:
    """Fill [q, k, g] with places and scores [g, q, n] of items [q, k]; where these are below 0 nothing is filled in."""
    for query in range(len(item)):
        for place in range(item.shape[1]):
            code = item[query, place]
            if code >= 0:
                for voter in range(len(places)):
                    found[query, place, voter] = places[voter, query, code]
                    score[query, place, voter] = scores[voter, query, code]


@numba.njit(cache=True, nogil=True)
def distinct_in_rows(indptr: Places, item: Places) -> bool:
    """Whether no row of a CSR form, int64 [q + 1] and int32 [m], holds an item twice."""
    for row in range(len(indptr) - 1):
        mine = np.sort(item[indptr[row] : indptr[row + 1]])
        for place in range(1, len(mine)):
            if mine[place] == mine[place - 1]:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def add_rows(
    total: Doubles | Floats, indptr: Places, indices: Places, data: Floats, rows: Places, weight: Floats
) -> None:
    """Add some rows of a CSR matrix to their sum [columns], each times its weight, float32 [rows]."""
    for place in range(len(rows)):
        for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
            total[indices[entry]] += np.float64(data[entry] * weight[place])


@numba.njit(cache=True, nogil=True)
def reached_keys(indptr: Places, indices: Places, rows: Places, total: Floats, offered: Bools) -> npt.NDArray[np.int64]:
    """`ascending_keys` of the offered columns, bool [n], of some rows of a CSR matrix, whose total, [n], is above 0.

    Of a large catalogue they are a small part.
    """
    count = 0
    for row in rows:
        count += indptr[row + 1] - indptr[row]
    keys, bits, met = np.empty(count, np.int64), total.view(np.int32), np.zeros(len(total), np.bool_)
    count = 0
    for row in rows:
        for entry in range(indptr[row], indptr[row + 1]):
            code = indices[entry]
            if not met[code] and total[code] > 0 and offered[code]:
                met[code] = True
                keys[count] = _key(bits[code], code)
                count += 1
    return keys[:count]


@numba.njit(cache=True, nogil=True)
def add_columns(total: Floats, matrix: Floats, rows: Places, weight: Floats, columns: Places) -> None:
    """Add some columns [c] of some rows of a matrix to their sum [c], each row times its weight, float32 [rows].

    Nothing is added for a column of -1.
    """
    for place in range(len(rows)):
        for number in range(len(columns)):
            if columns[number] >= 0:
                total[number] += weight[place] * matrix[rows[place], columns[number]]


@numba.njit(cache=True, nogil=True)
def fill_block(
    found: Floats, indptr: Places, indices: Places, data: Floats, rows: Places, columns: Places, n_columns: int
) -> None:
    """Fill [rows, columns] with a CSR matrix's entries at some rows and some of its columns, each of these once."""
    place = np.full(n_columns, len(columns), np.uint32)  # the others: behind the last, so that nothing must be asked
    for number in range(len(columns)):
        place[columns[number]] = number
    line = np.empty(len(columns) + 1, found.dtype)
    for number in range(len(rows)):
        line[:] = 0
        start, stop = indptr[rows[number]], indptr[rows[number] + 1]
        mine, its = indices[start:stop], data[start:stop]
        for entry in range(len(mine)):
            line[place[mine[entry]]] = its[entry]
        found[number] = line[:-1]


@numba.njit(cache=True, nogil=True)
def largest_entries(indptr: Places, data: Floats, k: int) -> npt.NDArray[np.int64]:
    """Where each row of a CSR matrix has its k largest positive entries, ties by place: int64 [rows, k], then -1."""
    found = np.full((len(indptr) - 1, k), -1, np.int64)
    bits = data.view(np.int32)  # positive floats sort as integers
    for row in range(len(found)):
        first = indptr[row]
        keys = np.empty(indptr[row + 1] - first, np.int64)
        count = 0
        for entry in range(first, indptr[row + 1]):
            if data[entry] > 0:
                keys[count] = (np.int64(0x7FFFFFFF - bits[entry]) << 32) | (entry - first)
                count += 1
        keys = np.sort(keys[:count])
        for place in range(min(k, count)):
            found[row, place] = first + (keys[place] & 0xFFFFFFFF)
    return found
