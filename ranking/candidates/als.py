"""iALS of the `implicit` library: the baseline that practitioners know."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
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
    """Implicit ALS (Hu et al. 2008) as `implicit` computes it; queries are folded in by its own exact solver."""

    name: ClassVar[str] = "ials"

    def __init__(self, config: AlsConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = self.config.memory.training(train)
        confidence = self._confidence(chosen.matrix(chosen.weight))
        self._known: Bools = np.bincount(chosen.item, minlength=len(train.items)) > 0
        model = self._library_model()
        with one_blas_thread():  # the library runs its own threads
            model.fit(confidence, show_progress=False)
        self._items: Floats = model.item_factors
        return self

    def _library_model(self) -> AlternatingLeastSquares:
        config = self.config
        with one_blas_thread():  # it warns when BLAS would compete with its own threads
            return AlternatingLeastSquares(
                factors=config.factors,
                regularization=config.regularization,
                iterations=config.iterations,
                random_state=config.seed,
            )

    def _confidence(self, weights: sparse.csr_matrix) -> sparse.csr_matrix:
        weights.sum_duplicates()
        weights.data = 1 + self.config.alpha * weights.data
        return weights

    def score(self, queries: Queries) -> Floats:
        """Scores near 1 for items like those of the profile."""
        profiles = self._confidence(self.config.memory.profiles(queries))
        model = self._library_model()
        model.item_factors = self._items
        with one_blas_thread():
            users = model.recalculate_user(np.arange(len(queries)), profiles)
        answered = np.diff(profiles.indptr) > 0
        return offer_only(answered[:, None] & self._known, users @ self._items.T)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"items": self._items, "known": self._known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, AlsConfig)
        model = cls(config)
        model._items, model._known = state.floats("items"), state.bools("known")
        return model
