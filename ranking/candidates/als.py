"""iALS of the `implicit` library: the baseline that practitioners know."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares

from ranking.candidates.folded_in import FoldedIn
from ranking.candidates.history import Memory
from ranking.candidates.least_squares import solve_rows
from ranking.candidates.threads import one_blas_thread
from ranking.profiles import Profiles
from ranking.types import Interactions

Doubles = npt.NDArray[np.float64]


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


class Als(FoldedIn[AlsConfig]):
    """Implicit ALS (Hu et al. 2008) as `implicit` computes it; queries are folded in by the same equations, exactly."""

    name: ClassVar[str] = "ials"
    kind = AlsConfig

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = self.config.memory.training(train)
        confidence = chosen.matrix(chosen.weight)
        confidence.data = 1 + self.config.alpha * confidence.data
        with one_blas_thread():  # the library runs its own threads
            model = AlternatingLeastSquares(
                factors=self.config.factors,
                regularization=self.config.regularization,
                iterations=self.config.iterations,
                random_state=self.config.seed,
            )
            model.fit(confidence, show_progress=False)
        return self.holding(model.item_factors, np.bincount(chosen.item, minlength=len(train.items)) > 0)

    def users(self, profiles: Profiles, items: Doubles) -> Doubles:
        """What the library computes for a user with these events."""
        above_one = profiles.scaled(self.config.alpha)
        l2 = np.full(len(profiles), self.config.regularization)
        return solve_rows(above_one, items, self._gram, l2, unit=1.0)
