"""iALS: matrix factorisation of implicit feedback by alternating least squares, our own."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.least_squares import solve_rows
from ranking.candidates.products import products_with_all
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Floats, Interactions, Queries


@dataclass(frozen=True)
class IalsConfig:
    """Hyper-parameters of `Ials`, in the words of Rendle et al. 2022.

    unobserved: weight alpha_0 of every pair, against an event's own weight. l2: lambda. nu: 1 scales the l2 of a
    user or item fully with its number of events, 0 not at all. init_scale: spread of a factor row at the start.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    The defaults were best on MovieLens-100K's validation window.
    """

    factors: int = 64
    unobserved: float = 0.3
    l2: float = 0.01
    nu: float = 1.0
    iterations: int = 8
    init_scale: float = 0.1
    seed: int = 0
    memory: Memory = field(default_factory=lambda: Memory(half_life_events=10))


class Ials(Generator):
    """Implicit ALS (Hu et al. 2008) with frequency-scaled regularisation (Rendle et al. 2022, equations 3 and 8).

    Least squares towards 1 over events and, with weight alpha_0, towards 0 over all pairs. A user's factors at
    scoring are the closed-form solution for the query's profile: nothing depends on the users of training.
    """

    name: ClassVar[str] = "ials_scaled"

    def __init__(self, config: IalsConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = self.config.memory.training(train)
        by_user = chosen.matrix(chosen.weight)
        by_item = by_user.T.tocsr()
        known: Bools = np.diff(by_item.indptr) > 0
        rng = np.random.default_rng(self.config.seed)
        scale = self.config.init_scale / np.sqrt(self.config.factors)
        start = rng.normal(0, scale, (by_item.shape[0], self.config.factors)).astype(np.float32)
        items: Floats = start * known[:, None]
        for _ in range(self.config.iterations):
            items = self._solve(by_item, self._solve(by_user, items))
        return self._holding(items, known)

    def _holding(self, items: Floats, known: Bools) -> Self:
        """What is learned, and what folding a query in needs of it: in double precision, alone as in a batch."""
        self._items, self._known = items, known
        self._exact = items.astype(np.float64)
        self._everything = self.config.unobserved * (self._exact.T @ self._exact)
        return self

    def _solve(self, rows: sparse.csr_matrix, factors: Floats) -> Floats:
        everything = self.config.unobserved * (factors.T @ factors)
        return np.asarray(solve_rows(rows, factors, everything, self._l2(rows, len(factors))), np.float32)

    def _l2(self, rows: sparse.csr_matrix, n: int) -> Floats:
        """float32 [r], by how many of the n of the other side a row has."""
        config = self.config
        return np.asarray(config.l2 * (np.diff(rows.indptr) + config.unobserved * n) ** config.nu, np.float32)

    def score(self, queries: Queries) -> Floats:
        """Scores near 1 for items like those of the profile."""
        profiles = self.config.memory.profiles(queries)
        users = solve_rows(profiles, self._exact, self._everything, self._l2(profiles, len(self._items)))
        scores = products_with_all(self._items, users.astype(np.float32))
        answered = np.diff(profiles.indptr) > 0
        return offer_only(answered[:, None] & self._known, scores)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"items": self._items, "known": self._known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, IalsConfig)
        return cls(config)._holding(state.floats("items"), state.bools("known"))
