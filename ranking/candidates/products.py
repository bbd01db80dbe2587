"""Inner products of items with the vectors of queries, each query by itself: a batch answers as single queries do."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ranking.candidates.threads import one_blas_thread
from ranking.kernels import some_products
from ranking.types import Codes, Floats


def products(vectors: Floats, wanted: Floats, row: npt.NDArray[np.int64], item: Codes) -> Floats:
    """Inner products float32 [n, m] of each candidate's vector with the m vectors of its query.

    vectors: float32 [n_items, d]. wanted: float32 [q, m, d]. row: ascending query of each candidate; item: its code.
    """
    found = np.empty((len(row), wanted.shape[1]), np.float32)
    bounds = np.searchsorted(row, np.arange(len(wanted) + 1)).tolist()
    with one_blas_thread():  # thousands of small products
        for query, (start, stop) in enumerate(pairwise(bounds)):
            found[start:stop] = vectors[item[start:stop]] @ wanted[query].T
    return found


def products_with_some(vectors: Floats, items: Codes, wanted: Floats) -> Floats:
    """Inner products float32 [q, m] of some items, int32 [m], with one vector of each query; as `products_with_all`."""
    found = np.empty((len(wanted), len(items)), np.float32)
    for query, one in enumerate(np.ascontiguousarray(wanted, np.float32)):
        some_products(found[query], vectors, items, one)
    return found


def products_with_all(vectors: Floats, wanted: Floats) -> Floats:
    """Inner products float32 [q, n_items] of all items with one vector of each query.

    vectors: float32 [n_items, d]. wanted: float32 [q, d].
    """
    found = np.empty((len(wanted), len(vectors)), np.float32)
    with one_blas_thread():
        for query, one in enumerate(wanted):
            np.dot(vectors, one, out=found[query])
    return found
