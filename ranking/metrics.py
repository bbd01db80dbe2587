"""What the numbers mean: the metrics over arrays, one value a query.

`sql/per_user.sql` computes the same from the warehouse's tables; this form serves tuning, where no table is written.
Every metric reads `hits`: bool [q, k'], whether the item at rank 1, 2, ... k' of a query is relevant, and `n_relevant`:
int [q], how many relevant items the query has, at least 1, whether or not a model could have found them.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.types import UNKNOWN, Bools, Codes

PerQuery: TypeAlias = npt.NDArray[np.float64]


def hits_of(items: Codes, relevant: sparse.csr_matrix) -> Bools:
    """Whether ranked items are relevant: bool [q, k] of codes [q, k]; `UNKNOWN` fillings are not.

    >>> relevant = sparse.csr_matrix(np.array([[True, False, True], [False, True, False]]))
    >>> hits_of(np.array([[2, 1], [0, -1]], np.int32), relevant).tolist()
    [[True, False], [False, False]]
    """
    row = np.repeat(np.arange(len(items)), items.shape[1])
    found = relevant_at(relevant, row, np.maximum(items, 0).ravel())
    return np.asarray(found.reshape(items.shape) & (items != UNKNOWN))


def relevant_at(relevant: sparse.csr_matrix, row: npt.NDArray[np.integer], item: npt.NDArray[np.integer]) -> Bools:
    """Whether items are relevant to the queries of some rows: bool [n] of n rows and n items."""
    if not len(row):  # of which SciPy makes a sparse matrix
        return np.zeros(0, bool)
    return np.asarray(relevant[row, item], bool).ravel()


def ndcg(hits: Bools, n_relevant: npt.NDArray[np.int64], k: int) -> PerQuery:
    r"""Normalised discounted cumulative gain, gains 0 and 1 (Järvelin and Kekäläinen, 2002; logarithm to base 2).

    DCG@k = sum over hits at ranks r <= k of 1 / log2(r + 1); NDCG@k = DCG@k / the DCG@k of min(k, n_relevant) hits on
    top. Two relevant items, found at ranks 1 and 3: (1 + 1/2) / (1 + 1/log2(3)).

    >>> ndcg(np.array([[True, False, True]]), np.array([2]), 3).round(4).tolist()
    [0.9197]
    """
    discount = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discount)[np.minimum(n_relevant, k) - 1]
    return np.asarray(hits[:, :k] @ discount[: hits.shape[1]] / ideal)


def recall(hits: Bools, n_relevant: npt.NDArray[np.int64], k: int) -> PerQuery:
    """Recall@k = hits at ranks <= k / n_relevant; cannot reach 1 where n_relevant > k.

    >>> recall(np.array([[True, False, True, True]]), np.array([6]), 3).round(4).tolist()
    [0.3333]
    """
    return np.asarray(hits[:, :k].sum(axis=1) / n_relevant)


def reciprocal_rank(hits: Bools, k: int) -> PerQuery:
    """RR@k = 1 / rank of the first hit, 0 if that rank is above k; its mean over queries is MRR@k.

    >>> reciprocal_rank(np.array([[False, True, True], [False, False, True]]), 2).tolist()
    [0.5, 0.0]
    """
    top = hits[:, :k]
    return np.where(top.any(axis=1), 1 / (top.argmax(axis=1) + 1), 0.0)


def coverage(items: Codes, n_items: int, k: int) -> float:
    """Coverage@k = distinct items among all queries' top k / items of the whole catalogue.

    >>> coverage(np.array([[0, 1, 2], [0, 3, -1]], np.int32), n_items=8, k=2)
    0.375
    """
    shown = np.unique(items[:, :k])
    return float((shown >= 0).sum() / n_items)
