"""Inner products of items with the vectors of queries, each query by itself: a batch answers as single queries do."""

import numba
import numpy as np
import numpy.typing as npt

from ranking.candidates.threads import one_blas_thread
from ranking.types import Bools, Codes, Floats


def products(vectors: Floats, wanted: Floats, row: npt.NDArray[np.int64], item: Codes) -> Floats:
    """Inner products float32 [n, m] of each candidate's vector with the m vectors of its query.

    vectors: float32 [n_items, d]. wanted: float32 [q, m, d]. row: query of each candidate; item: its code.
    """
    return np.asarray(_products(vectors, np.ascontiguousarray(wanted), row, item))


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # sums eight numbers at a time
def _products(vectors: Floats, wanted: Floats, row: npt.NDArray[np.int64], item: Codes) -> Floats:
    found = np.empty((len(row), wanted.shape[1]), np.float32)
    for place in range(len(row)):
        mine = vectors[item[place]]
        for number in range(wanted.shape[1]):
            its, total = wanted[row[place], number], np.float32(0)
            for dimension in range(len(mine)):
                total += mine[dimension] * its[dimension]
            found[place, number] = total
    return found


@numba.njit(cache=True, nogil=True)
def filled_at(vectors: Floats, item: Codes) -> Bools:
    """Which items have a vector, bool [n]: one that is not all 0. vectors: float32 [n_items, d]; item: codes [n]."""
    found = np.zeros(len(item), np.bool_)
    for place in range(len(item)):
        for value in vectors[item[place]]:
            if value != 0:
                found[place] = True
                break
    return found


def filled(vectors: Floats) -> Bools:
    """Which rows are not all 0, bool [n]."""
    return np.asarray(vectors.any(axis=1))


def products_with_some(vectors: Floats, items: Codes, wanted: Floats) -> Floats:
    """Inner products float32 [q, m] of some items, int32 [m], with one vector of each query; as `products_with_all`."""
    found = np.empty((len(wanted), len(items)), np.float32)
    for query, one in enumerate(np.ascontiguousarray(wanted, np.float32)):
        _products_with_one(found[query], vectors, items, one)
    return found


@numba.njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def _products_with_one(found: Floats, vectors: Floats, items: Codes, wanted: Floats) -> None:
    for place in range(len(items)):
        mine, total = vectors[items[place]], np.float32(0)
        for dimension in range(len(mine)):
            total += mine[dimension] * wanted[dimension]
        found[place] = total


def products_with_all(vectors: Floats, wanted: Floats) -> Floats:
    """Inner products float32 [q, n_items] of all items with one vector of each query.

    vectors: float32 [n_items, d]. wanted: float32 [q, d].
    """
    found = np.empty((len(wanted), len(vectors)), np.float32)
    with one_blas_thread():
        for query, one in enumerate(wanted):
            np.dot(vectors, one, out=found[query])
    return found
