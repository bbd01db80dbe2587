"""Inner products of some items with some vectors of each query."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ranking.candidates.threads import one_blas_thread
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
