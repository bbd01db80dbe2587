"""iALS: matrix factorisation of implicit feedback by alternating least squares, our own."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.folded_in import FoldedIn
from ranking.candidates.history import Memory
from ranking.candidates.least_squares import solve_rows
from ranking.profiles import Profiles
from ranking.types import Bools, Floats, Interactions

Doubles = npt.NDArray[np.float64]


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


class Ials(FoldedIn[IalsConfig]):
    """Implicit ALS (Hu et al. 2008) with frequency-scaled regularisation (Rendle et al. 2022, equations 3 and 8).

    Least squares towards 1 over events and, with weight alpha_0, towards 0 over all pairs. A user's factors at
    scoring are the closed-form solution for the query's profile: nothing depends on the users of training.
    """

    name: ClassVar[str] = "ials_scaled"
    kind = IalsConfig

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
        return self.holding(items, known)

    def _solve(self, rows: sparse.csr_matrix, factors: Floats) -> Floats:
        everything = self.config.unobserved * (factors.T @ factors)
        return np.asarray(solve_rows(rows, factors, everything, self._l2(rows, len(factors))), np.float32)

    def _l2(self, rows: sparse.csr_matrix | Profiles, n: int) -> Floats:
        """float32 [r], by how many of the n of the other side a row has."""
        config = self.config
        return np.asarray(
            config.l2 * (rows.indptr[1:] - rows.indptr[:-1] + config.unobserved * n) ** config.nu, np.float32
        )

    def users(self, profiles: Profiles, items: Doubles) -> Doubles:
        """By the equations of learning."""
        everything = self.config.unobserved * self._gram
        return solve_rows(profiles, items, everything, self._l2(profiles, len(items)))
