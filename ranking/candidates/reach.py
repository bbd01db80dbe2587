"""How much of what is relevant the union finds, what each generator gives to it, and what more places would bring."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.generator import top_k
from ranking.candidates.union import Votes, merit_of, vote
from ranking.types import UNKNOWN, Bools, Codes

BUDGETS: Final = (25, 50, 100, 200, 400)
UNION: Final = "union"

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Gift:
    """What one generator gives. recall: of its own k best. marginal: recall of the union minus that without it.

    exclusive: relevant candidates that no other generator has among its own k best. first: share of the relevant
    candidates that it places highest; of several that place one alike the first counts.
    """

    recall: float
    marginal: float
    exclusive: int
    first: float


@dataclass(frozen=True)
class Reach:
    """Means over the queries that have a history and something relevant; all 0 where there is none.

    k: places of the union. by_budget: the union's and each generator's recall with so many places, reserved ones in
    proportion.
    """

    k: int
    queries: int
    gifts: dict[str, Gift]
    by_budget: dict[str, dict[int, float]]


class Survey:
    """Collects the reach while candidates are retrieved: `watch` goes to `retrieve`.

    relevant: bool CSR [q, n_items]. counts: bool [q], the queries that are averaged over. k: places of the union.
    """

    def __init__(self, relevant: sparse.csr_matrix, counts: Bools, *, k: int) -> None:
        self._wanted = sparse.csr_matrix(sparse.diags(counts.astype(np.float32)) @ relevant.astype(np.float32))
        self._wanted.eliminate_zeros()
        self._needed = np.diff(self._wanted.indptr)
        self._k = k
        self._sums: dict[tuple[str, int], float] = {}
        self._without: dict[str, float] = {}
        self._exclusive: dict[str, int] = {}
        self._first: dict[str, int] = {}

    def watch(
        self,
        rows: npt.NDArray[np.int64],
        places: Mapping[str, Codes],
        reserved: Mapping[str, int],
        items: Codes | None = None,
    ) -> None:
        """Take in a batch, as `retrieve` shows it. What is not among the items looked at was not found."""
        row, item = self._wanted[rows].nonzero()
        if items is not None:
            inside = np.isin(item, items)
            row, item = row[inside], np.searchsorted(items, item[inside]).astype(np.int32)
        worth = 1 / np.maximum(self._needed[rows], 1)[row]  # a hit's part of its query's recall
        place = {name: one[row, item] for name, one in places.items()}
        votes = {name: vote(one, name in reserved) for name, one in places.items()}
        fused = _summed(votes.values())
        for budget in BUDGETS:
            fewer = {name: round(mine * budget / self._k) for name, mine in reserved.items()}
            self._add(UNION, budget, worth, _chosen(fused, places, fewer, budget)[row, item])
            for name, one in place.items():
                self._add(name, budget, worth, (one > 0) & (one <= budget))
        self._credit(_chosen(fused, places, reserved, self._k)[row, item], worth, place)
        for name in places:
            others = {other: one for other, one in places.items() if other != name}
            without = _summed(votes[other] for other in others)
            hits = _chosen(without, others, reserved, self._k)[row, item] if others else np.zeros(len(row), bool)
            self._without[name] = self._without.get(name, 0.0) + float(worth[hits].sum())

    def _credit(self, found: Bools, worth: Doubles, place: Mapping[str, Codes]) -> None:
        """Say who found the relevant candidates."""
        self._add(UNION, 0, worth, found)
        at = np.stack([np.where(one > 0, one, np.iinfo(np.int32).max) for one in place.values()])[:, found]
        near = at <= self._k
        for index, name in enumerate(place):
            alone = near[index] & (near.sum(axis=0) == 1)
            self._add(name, 0, worth, (place[name] > 0) & (place[name] <= self._k))
            self._exclusive[name] = self._exclusive.get(name, 0) + int(alone.sum())
            self._first[name] = self._first.get(name, 0) + int((at.argmin(axis=0) == index).sum() if at.size else 0)

    def _add(self, name: str, budget: int, worth: Doubles, hits: Bools) -> None:
        self._sums[name, budget] = self._sums.get((name, budget), 0.0) + float(worth[hits].sum())

    def reach(self) -> Reach:
        """What was seen so far."""
        queries = int((self._needed > 0).sum())
        share = 1 / max(queries, 1)
        hits = max(sum(self._first.values()), 1)
        whole = self._sums.get((UNION, 0), 0.0)
        gifts = {
            name: Gift(
                self._sums[name, 0] * share,
                (whole - self._without[name]) * share,
                self._exclusive[name],
                self._first[name] / hits,
            )
            for name in self._without
        }
        by_budget = {
            name: {budget: self._sums.get((name, budget), 0.0) * share for budget in BUDGETS}
            for name in (UNION, *self._without)
        }
        return Reach(self._k, queries, gifts, by_budget)


def _summed(votes: Iterable[Votes]) -> Votes:
    """Always from the first to the last, so that equal sums stay equal."""
    return np.asarray(sum(votes), np.float64)


def _chosen(fused: Votes, places: Mapping[str, Codes], reserved: Mapping[str, int], k: int) -> Bools:
    """Which items are candidates, bool [q, n_items]."""
    merit = merit_of(fused, places, reserved)
    codes, _ = top_k(merit, k)
    found = np.zeros(merit.shape, bool)
    row, column = np.nonzero(codes != UNKNOWN)
    found[row, codes[row, column]] = True
    return found
