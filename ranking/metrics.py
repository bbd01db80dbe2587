"""What the numbers mean: the metrics over arrays, one value a query.

`sql/per_user.sql` computes the same from the warehouse's tables; this form serves tuning, where no table is written.
Every metric reads `hits`: bool [q, k'], whether the item at rank 1, 2, ... k' of a query is relevant, and `n_relevant`:
int [q], how many relevant items the query has, at least 1, whether or not a model could have found them.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.types import UNKNOWN, Bools, Codes, Floats

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


def average_precision(hits: Bools, n_relevant: npt.NDArray[np.int64], k: int) -> PerQuery:
    """AP@k = sum over hits at ranks r <= k of (hits at ranks <= r) / r, divided by n_relevant; its mean is MAP@k.

    As trec_eval's map_cut has it: it cannot reach 1 where n_relevant > k. Two of three found, at ranks 1 and 3:

    >>> average_precision(np.array([[True, False, True]]), np.array([3]), 3).round(4).tolist()
    [0.5556]
    """
    top = hits[:, :k]
    precision = np.cumsum(top, axis=1) / np.arange(1, top.shape[1] + 1)
    return np.asarray((precision * top).sum(axis=1) / n_relevant)


def hit_rate(hits: Bools, k: int) -> PerQuery:
    """hit@k = 1 if there is a hit at any rank <= k, else 0.

    >>> hit_rate(np.array([[False, True], [False, False]]), 2).tolist()
    [1.0, 0.0]
    """
    return np.asarray(hits[:, :k].any(axis=1), np.float64)


def self_information(choosers: npt.NDArray[np.integer], n_users: int) -> PerQuery:
    """How surprising each item is: -log2(share of the users who chose it), float64 [n] of counts [n].

    Source: Vargas and Castells (2011), inverse user frequency. An item that nobody chose counts as chosen by one.

    >>> self_information(np.array([4, 1, 0]), n_users=4).tolist()
    [0.0, 2.0, 2.0]
    """
    return np.asarray(np.log2(max(n_users, 1) / np.maximum(choosers, 1)))


def popularity_percentile(events: npt.NDArray[np.integer]) -> PerQuery:
    """Each item's place by popularity: the share of items that have fewer events, and half of those that have as many.

    float64 [n], above 0 and below 1; the mean over a catalogue is 1/2.

    >>> popularity_percentile(np.array([0, 7, 0, 1])).tolist()
    [0.25, 0.875, 0.25, 0.625]
    """
    in_order = np.sort(events)
    fewer = np.searchsorted(in_order, events, side="left")
    no_more = np.searchsorted(in_order, events, side="right")
    return np.asarray((fewer + no_more) / 2 / max(len(events), 1))


def mean_shown(items: Codes, values: PerQuery, k: int) -> PerQuery:
    """Mean of a value an item over what a query is shown: of `self_information` novelty@k. NaN where nothing is shown.

    >>> mean_shown(np.array([[0, 2], [1, -1], [-1, -1]], np.int32), np.array([1.0, 5.0, 3.0]), 2).tolist()
    [2.0, 5.0, nan]
    """
    top = items[:, :k]
    there = top != UNKNOWN
    total = np.where(there, values[np.maximum(top, 0)], 0).sum(axis=1)
    return np.asarray(np.divide(total, there.sum(axis=1), out=np.full(len(top), np.nan), where=there.any(axis=1)))


def diversity(items: Codes, vectors: Floats, k: int) -> PerQuery:
    """1 - mean cosine of the pairs of items that a query is shown (Ziegler et al., 2005, their intra-list similarity).

    vectors: [n, d], a row of zeros for an item of which nothing is known; such items are left out, and the value is NaN
    where fewer than two are left.

    >>> vectors = np.array([[1, 0], [0, 2], [1, 0]], np.float32)
    >>> diversity(np.array([[0, 1, 2], [0, 2, -1]], np.int32), vectors, 3).round(4).tolist()
    [0.6667, 0.0]
    """
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros(vectors.shape), where=length > 0)
    top = items[:, :k]
    there = (top != UNKNOWN) & (length[:, 0] > 0)[np.maximum(top, 0)]
    n = there.sum(axis=1)
    together = np.zeros((len(top), vectors.shape[1]))
    for rank in range(top.shape[1]):  # the sum's squared length is that of all pairs, each item with itself among them
        together += unit[np.maximum(top[:, rank], 0)] * there[:, rank, None]
    pairs = n * (n - 1)
    similar = (together**2).sum(axis=1) - n
    return np.asarray(1 - np.divide(similar, pairs, out=np.full(len(top), np.nan), where=pairs > 0))


def coverage(items: Codes, n_items: int, k: int) -> float:
    """Coverage@k = distinct items among all queries' top k / items of the whole catalogue.

    >>> coverage(np.array([[0, 1, 2], [0, 3, -1]], np.int32), n_items=8, k=2)
    0.375
    """
    shown = np.unique(items[:, :k])
    return float((shown >= 0).sum() / n_items)


def gini(items: Codes, n_items: int, k: int) -> float:
    """How unevenly the catalogue is shown in all queries' top k: 0 all items equally often, towards 1 one item alone.

    With x_1 <= ... <= x_n how often each item is shown, those never shown among them:
    sum over i of (2i - n - 1) x_i / (n * sum of x). NaN where nothing is shown.

    >>> round(gini(np.array([[0, 1], [0, -1]], np.int32), n_items=4, k=2), 4)
    0.5833
    """
    top = items[:, :k]
    times = np.sort(np.bincount(top[top != UNKNOWN], minlength=n_items))
    if not times.any():
        return float("nan")
    return float(((2 * np.arange(1, n_items + 1) - n_items - 1) * times).sum() / (n_items * times.sum()))
