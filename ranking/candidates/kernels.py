"""Loops over all items that numpy makes many passes of; compiled when first called, and kept beside this file."""

import numba
import numpy as np
import numpy.typing as npt

from ranking.types import Codes, Floats


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
def add_votes(total: npt.NDArray[np.float64], place: Codes, votes: npt.NDArray[np.float64]) -> None:
    """Add to each of [n] what its place [n] is worth."""
    for code in range(len(total)):
        total[code] += votes[place[code]]
