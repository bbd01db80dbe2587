"""Which modalities predict behaviour, and how hard to shrink: chosen on items that were hidden from the fit."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.metrics import ndcg
from ranking.representation.behaviour import item_factors
from ranking.representation.inputs import Masked
from ranking.representation.kernels import CONSTANT, head_kernel, ridge
from ranking.types import Bools, Floats

STRENGTHS: Final = (1.0, 3.0)
MAX_ASKED: Final = 2000  # users, the most active of those who can be asked
DEPTH: Final = 10  # of the NDCG


@dataclass(frozen=True)
class Choice:
    """What is read of an item, and how hard the ridge shrinks.

    ndcg: NDCG@10 among hidden items, mean of both halves, of each head alone and of the choice ("chosen").
    """

    heads: tuple[str, ...]
    strength: float
    ndcg: Mapping[str, float]


def choose(rows: Mapping[str, Masked], liked: sparse.csr_matrix, *, seed: int = 0) -> Choice:
    """Heads by forward selection, then the strength, by NDCG@10 among hidden items for users who like others.

    rows: head -> one row an item. liked: users x items, float32. Each random half of the items is hidden once. The
    first head is the best one alone; a further one joins only if it helps among both halves, so that an added modality
    does no harm. With nothing to ask, everything is read.
    """
    heads = tuple(rows)
    hidden = np.random.default_rng(seed).permutation(liked.shape[1]) % 2 == 1
    halves = [_Half.of(rows, liked, one) for one in (hidden, ~hidden)]
    if not heads or not all(len(half.relevant) for half in halves):
        return Choice(heads, STRENGTHS[0], {})

    def tried(some: tuple[str, ...], strength: float = STRENGTHS[0]) -> npt.NDArray[np.float64]:
        return np.array([half.ndcg(some, strength) for half in halves])

    alone = {head: tried((head,)) for head in heads}
    chosen: tuple[str, ...] = (max(heads, key=lambda head: alone[head].mean()),)
    best = alone[chosen[0]]
    while len(chosen) < len(heads):
        added = {head: tried((*chosen, head)) for head in heads if head not in chosen}
        found = max(added, key=lambda head: added[head].mean())
        if not (added[found] > best).all():
            break
        chosen, best = (*chosen, found), added[found]
    strengths = {strength: float(tried(chosen, strength).mean()) for strength in STRENGTHS}
    strength = max(strengths, key=lambda one: strengths[one])
    found_ndcg = {head: round(float(one.mean()), 4) for head, one in alone.items()}
    return Choice(tuple(sorted(chosen)), strength, found_ndcg | {"chosen": round(strengths[strength], 4)})


@dataclass(frozen=True)
class _Half:
    """Hidden items, for users who like some of them and some of the others.

    grams, asked: head -> kernel of known items with each other, [k, k], and of hidden with known ones, [h, k].
    factors: of the known items, [k, d]. tastes: of the users, [u, d]. relevant: hidden items they like, [u, h].
    """

    grams: Mapping[str, Floats]
    asked: Mapping[str, Floats]
    factors: Floats
    tastes: Floats
    relevant: Bools

    @classmethod
    def of(cls, rows: Mapping[str, Masked], liked: sparse.csr_matrix, hidden: Bools) -> Self:
        known = {head: one.rows(np.flatnonzero(~hidden)) for head, one in rows.items()}
        wanted = {head: one.rows(np.flatnonzero(hidden)) for head, one in rows.items()}
        before, after = liked[:, ~hidden], liked[:, hidden]
        counts = np.minimum(np.diff(before.indptr), np.diff(after.indptr))
        users = np.argsort(-counts, kind="stable")[:MAX_ASKED]
        users = users[counts[users] > 0]
        factors = item_factors(before)
        return cls(
            {head: head_kernel(one, one) for head, one in known.items()},
            {head: head_kernel(wanted[head], one) for head, one in known.items()},
            factors,
            np.asarray(before[users] @ factors),
            np.asarray(after[users].toarray() > 0),
        )

    def ndcg(self, heads: tuple[str, ...], strength: float) -> float:
        weights = ridge(np.asarray(CONSTANT + sum(self.grams[head] for head in heads)), self.factors, strength)
        predicted = (CONSTANT + sum(self.asked[head] for head in heads)) @ weights
        ranked = np.argsort(-(self.tastes @ predicted.T), axis=1, kind="stable")[:, :DEPTH]
        hits = np.take_along_axis(self.relevant, ranked, axis=1)
        return float(ndcg(hits, self.relevant.sum(axis=1), DEPTH).mean())
