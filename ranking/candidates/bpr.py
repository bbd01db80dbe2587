"""BPR of the `implicit` library: matrix factorisation that learns from pairs of items."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from implicit.cpu.bpr import BayesianPersonalizedRanking

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory, binary
from ranking.candidates.products import products_with_all, products_with_some
from ranking.candidates.state import load_state, save_state
from ranking.profiles import Profiles
from ranking.types import Bools, Codes, Floats, Interactions, Queries

FOLD_IN_L2: Final = 1e-3  # against the squares of all users' mean vectors; it only keeps the solution unique


@dataclass(frozen=True)
class BprConfig:
    """Hyper-parameters of `Bpr`, in the library's words.

    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    factors: int = 64
    learning_rate: float = 0.05
    regularization: float = 0.01
    iterations: int = 50
    seed: int = 0
    memory: Memory = field(default_factory=Memory)


class Bpr(Generator):
    """Bayesian personalised ranking (Rendle et al. 2009) as `implicit` learns it, on one thread, so repeatably.

    Deviation: the library has factors for the users of training alone. A query is folded in by what its history holds:
    the weighted mean of its items' factors, taken to the users' factors by the linear map (with a constant) that fits
    the users of training best, by ridge regression.
    """

    name: ClassVar[str] = "bpr"

    def __init__(self, config: BprConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        x = binary(self.config.memory.training(train))
        self._known: Bools = np.bincount(x.indices, minlength=x.shape[1]) > 0
        known = x[np.diff(x.indptr) > 0]
        self._factors: Floats = np.zeros((x.shape[1], self.config.factors), np.float32)
        self._bias: Floats = np.zeros(x.shape[1], np.float32)
        self._to_users: Floats = np.zeros((self.config.factors + 1, self.config.factors), np.float32)
        if not known.nnz:
            return self
        model = self._library_model()
        model.fit(known, show_progress=False)
        self._factors = np.ascontiguousarray(model.item_factors[:, :-1])
        self._bias = model.item_factors[:, -1].copy()
        means = self._means(Profiles.of_matrix(known))
        left = means.T @ means + FOLD_IN_L2 * np.eye(means.shape[1], dtype=np.float32)
        self._to_users = np.linalg.solve(left, means.T @ model.user_factors[:, :-1])
        return self

    def _library_model(self) -> BayesianPersonalizedRanking:
        config = self.config
        return BayesianPersonalizedRanking(
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
            iterations=config.iterations,
            num_threads=1,
            random_state=config.seed,
        )

    def _means(self, profiles: Profiles) -> Floats:
        """Weighted means of the profiles' item factors, and a 1, float32 [rows, factors + 1]; a 0 row for none."""
        total = profiles.totals[:, None]
        means = np.empty((len(profiles), self.config.factors + 1), np.float32)
        means[:, :-1] = profiles.times(self._factors) / np.maximum(total, np.float32(1e-9))
        means[:, -1:] = total > 0
        return means

    def score(self, queries: Queries) -> Floats:
        """Scores: factors' products plus the item's bias."""
        profiles = self.config.memory.profiles(queries)
        scores = products_with_all(self._factors, self._users(profiles)) + self._bias
        return offer_only(profiles.answered[:, None] & self._known, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        profiles = self.config.memory.profiles(queries)
        scores = products_with_some(self._factors, items, self._users(profiles)) + self._bias[items]
        return offer_only(profiles.answered[:, None] & self._known[items], scores)

    def _users(self, profiles: Profiles) -> Floats:
        return np.asarray(self._means(profiles) @ self._to_users)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays = {"factors": self._factors, "bias": self._bias, "to_users": self._to_users, "known": self._known}
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, BprConfig)
        model = cls(config)
        model._factors, model._bias = state.floats("factors"), state.floats("bias")
        model._to_users, model._known = state.floats("to_users"), state.bools("known")
        return model
