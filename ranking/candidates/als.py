"""iALS of the `implicit` library: the baseline that practitioners know."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.least_squares import solve_rows
from ranking.candidates.products import products_with_all
from ranking.candidates.state import load_state, save_state
from ranking.candidates.threads import one_blas_thread
from ranking.types import Bools, Floats, Interactions, Queries


@dataclass(frozen=True)
class AlsConfig:
    """Hyper-parameters of `Als`, in the library's words.

    alpha: an event of weight w has confidence 1 + alpha w, no event has 1. regularization: the same for all rows.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    factors: int = 64
    regularization: float = 30.0
    alpha: float = 5.0
    iterations: int = 15
    seed: int = 0
    memory: Memory = field(default_factory=Memory)


class Als(Generator):
    """Implicit ALS (Hu et al. 2008) as `implicit` computes it; queries are folded in by the same equations, exactly."""

    name: ClassVar[str] = "ials"

    def __init__(self, config: AlsConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = self.config.memory.training(train)
        confidence = self._above_one(chosen.matrix(chosen.weight))
        confidence.data += 1
        with one_blas_thread():  # the library runs its own threads
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
                iterations=self.config.iterations,
                random_state=self.config.seed,
            )
            model.fit(confidence, show_progress=False)
        return self._holding(model.item_factors, np.bincount(chosen.item, minlength=len(train.items)) > 0)

    def _holding(self, items: Floats, known: Bools) -> Self:
        """What is learned, and what folding a query in needs of it: in double precision, alone as in a batch."""
        self._items, self._known = items, known
        self._exact = items.astype(np.float64)
        self._everything = self._exact.T @ self._exact
        return self

    def _above_one(self, weights: sparse.csr_matrix) -> sparse.csr_matrix:
        """What confidences are above that of no event, CSR like `weights`."""
        return sparse.csr_matrix((self.config.alpha * weights.data, weights.indices, weights.indptr), weights.shape)

    def score(self, queries: Queries) -> Floats:
        """Scores near 1 for items like those of the profile."""
        profiles = self._above_one(self.config.memory.profiles(queries))
        l2 = np.full(len(queries), self.config.regularization)
        users = solve_rows(profiles, self._exact, self._everything, l2, unit=1.0)
        answered = np.diff(profiles.indptr) > 0
        return offer_only(answered[:, None] & self._known, products_with_all(self._items, users.astype(np.float32)))

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"items": self._items, "known": self._known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, AlsConfig)
        return cls(config)._holding(state.floats("items"), state.bools("known"))
