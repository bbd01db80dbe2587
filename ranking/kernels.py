"""Loops that numpy makes many passes of, compiled when first called and kept beside this file."""

import numba
import numpy as np
import numpy.typing as npt

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
            # IEEE 754: as integers, in the order of the floats
            ordered = bits[code] ^ ((bits[code] >> 31) & np.int32(0x7FFFFFFF))
            keys[row, code] = (np.int64(~ordered) << 32) | code
    return keys


@numba.njit(cache=True, nogil=True)
def add_votes(total: Doubles, place: Places, votes: Doubles) -> None:
    """Add to each of [n] what its place [n] is worth."""
    for code in range(len(total)):
        total[code] += votes[place[code]]


@numba.njit(cache=True, nogil=True)
def add_rows(
    total: Doubles | Floats, indptr: Places, indices: Places, data: Floats, rows: Places, weight: Floats
) -> None:
    """Add some rows of a CSR matrix to their sum [columns], each times its weight, float32 [rows]."""
    for place in range(len(rows)):
        for entry in range(indptr[rows[place]], indptr[rows[place] + 1]):
            total[indices[entry]] += np.float64(data[entry] * weight[place])


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
