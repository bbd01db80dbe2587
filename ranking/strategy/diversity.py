"""A page of different things, in the shares that the user is used to.

Two terms are added greedily, slot by slot: maximal marginal relevance (Carbonell and Goldstein 1998), which takes off
an item's greatest cosine with anything on the page, and calibration (Steck 2018), which takes off the Kullback-Leibler
divergence of the page's mix of categories from that of the user's history. Relevance is the slate's scores, scaled to
0..1; all three are weighed as (1 - diversity) x relevance - diversity x (cosine + divergence).
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from feature_repo import schema
from ranking.profiles import entries
from ranking.representation.content import category_shares, items_by_category
from ranking.types import Codes, Floats, Queries

SMOOTHING: Final = 0.01  # Steck's alpha: the share of the wanted mix in the shown one, so that no logarithm is infinite

Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Variety:
    """What a release knows of its items' likeness, rows in the order of the item codes.

    vectors: float32 [n, d], unit rows, 0 for an item without content. shares: CSR float32 [n, c], each item's
    categories, of equal share; its row sums to 1, or 0 without any.
    """

    vectors: Floats
    shares: sparse.csr_matrix

    @classmethod
    def of(cls, table: pa.Table, vectors: Floats) -> Self:
        """Of items in the order of the vectors."""
        return cls(vectors, category_shares(items_by_category(table[schema.CATEGORIES])[0]))

    def mix(self, query: Queries) -> Floats:
        """The shares of the categories among what the first query's user liked, float32 [c]; 0 without any."""
        liked = query.item[: int(query.indptr[1])][query.positive[: int(query.indptr[1])]]
        total = np.asarray(self.shares[liked].sum(axis=0), np.float32).ravel()
        return np.asarray(total / max(float(total.sum()), 1e-9), np.float32)

    def shares_of(self, item: int) -> Values:
        """One item's shares of all categories, float64 [c]."""
        shares, own = np.zeros(self.shares.shape[1]), slice(self.shares.indptr[item], self.shares.indptr[item + 1])
        shares[self.shares.indices[own]] = self.shares.data[own]
        return shares

    def entries(self, items: Codes, categories: Rows) -> "Entries":
        """What some items have of some categories, which are ascending."""
        entry, counts = entries(self.shares, items)
        place = np.full(self.shares.shape[1], -1)
        place[categories] = np.arange(len(categories))
        column = place[self.shares.indices[entry]]
        row, share = np.repeat(np.arange(len(items)), counts), self.shares.data[entry].astype(np.float64)
        return Entries(len(items), row[column >= 0], column[column >= 0], share[column >= 0])


@dataclass(frozen=True)
class Entries:
    """The shares of categories in n items, sparse: row int64 [m] of the item, column int64 [m], share float64 [m]."""

    n: int
    row: Rows
    column: Rows
    share: Values


class Relevance:
    """The value of each candidate for the next slot: its score, whatever is on the page."""

    def __init__(self, scores: Values) -> None:
        self._scores = scores

    def values(self) -> Values:
        """float64 [n]."""
        return self._scores

    def take(self, item: int) -> None:
        """An item has come onto the page."""


class MarginalRelevance(Relevance):
    """The value of each candidate beside what is on the page.

    Args:
        items: int32 [n], the candidates.
        scores: float64 [n].
        wanted: float32 [c], the mix to aim at; zeros leave the mix alone.
        diversity: above 0, at most 1.
    """

    def __init__(self, variety: Variety, items: Codes, scores: Values, *, wanted: Floats, diversity: float) -> None:
        super().__init__((1 - diversity) * scaled(scores))
        self._variety, self._items = variety, items
        self._diversity = diversity
        self._vectors = variety.vectors[items]
        self._categories = np.flatnonzero(wanted)
        self._wanted = wanted[self._categories].astype(np.float64)
        self._entries = variety.entries(items, self._categories)
        self._shown = np.zeros(len(self._categories))
        self._nearest = np.zeros(len(items), np.float32)
        self._count = 0

    def values(self) -> Values:
        """float64 [n]."""
        worse = self._nearest + divergence(self._wanted, self._shown, self._entries, self._count + 1)
        return self._scores - self._diversity * worse

    def take(self, item: int) -> None:
        """An item has come onto the page."""
        near = self._vectors @ self._variety.vectors[item]
        self._nearest = np.maximum(self._nearest, near) if self._count else near
        self._shown += self._variety.shares_of(item)[self._categories]
        self._count += 1


def divergence(wanted: Values, shown: Values, joining: Entries, count: int) -> Values:
    """Kullback-Leibler divergence of a page's mix from the wanted one, if an item joined it, in nats, float64 [n].

    wanted: float64 [c], above 0, of sum 1. shown: float64 [c], the sum of the page's shares. joining: the n items that
    may. count: items of the page with the one that joins. The mix is smoothed towards `wanted` (Steck 2018,
    equation 5).

    >>> wanted, drama = np.array([0.5, 0.5]), np.array([1.0, 0.0])
    >>> either = Entries(2, np.array([0, 1]), np.array([0, 1]), np.ones(2))
    >>> (divergence(wanted, drama, either, 2).round(3) + 0).tolist()
    [1.959, 0.0]
    """
    before = (1 - SMOOTHING) * shown + SMOOTHING * count * wanted  # times count, whose logarithm is taken off again
    rises = np.log1p((1 - SMOOTHING) * joining.share / before[joining.column]) * wanted[joining.column]
    alone = wanted @ np.log(wanted) + np.log(count) * wanted.sum() - wanted @ np.log(before)
    return np.asarray(alone - np.bincount(joining.row, rises, minlength=joining.n))


def scaled(scores: Values) -> Values:
    """From 0, the least, to 1, the greatest; 1 for all where they are the same."""
    if not len(scores):
        return scores
    least, span = scores.min(), scores.max() - scores.min()
    return (scores - least) / span if span > 0 else np.ones_like(scores)
