"""How good a full ranking is, for tuning; the evaluation proper is SQL and stands in `ranking.evaluation`."""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.types import UNKNOWN, Codes, Floats


def hits(ranked: Codes, relevant: sparse.csr_matrix) -> Floats:
    """Whether each ranked item int32 [q, k] is relevant to its row, float32 [q, k] of 0 and 1; `UNKNOWN` is not."""
    known = ranked != UNKNOWN
    row, place = np.nonzero(known)
    found = np.zeros(ranked.shape, np.float32)
    found[row, place] = np.asarray(relevant[row, ranked[row, place]]).ravel()
    return found


def ndcg(ranked: Codes, relevant: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """NDCG at k of each row of `ranked` [q, k], float64 [q]; 0 for a row with nothing relevant.

    DCG = sum over places p of hit / log2(p + 1), divided by that of min(k, number of relevant items) hits on top.

    >>> relevant = sparse.csr_matrix(np.array([[False, True, True, False]]))
    >>> ndcg(np.array([[1, 0]], np.int32), relevant).round(4)
    array([0.6131])
    """
    discount = 1 / np.log2(np.arange(2, ranked.shape[1] + 2))
    ideal = np.concatenate([[0.0], np.cumsum(discount)])
    best = ideal[np.minimum(np.diff(relevant.indptr), ranked.shape[1])]
    return np.asarray((hits(ranked, relevant) @ discount) / np.where(best > 0, best, 1))


def recall(ranked: Codes, relevant: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """Share of a row's relevant items among its ranked ones [q, k], float64 [q]; 0 for a row with nothing relevant.

    >>> relevant = sparse.csr_matrix(np.array([[False, True, True, False]]))
    >>> recall(np.array([[1, 0]], np.int32), relevant)
    array([0.5])
    """
    return np.asarray(hits(ranked, relevant).sum(axis=1) / np.maximum(np.diff(relevant.indptr), 1))
