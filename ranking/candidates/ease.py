"""EASE: a linear item-item model in closed form."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from ranking.artifacts import Arrays
from ranking.candidates.generator import ItemToItem, offer_only
from ranking.candidates.history import Memory, binary
from ranking.candidates.sequences import followers
from ranking.candidates.state import State, load_state, pack, save_state
from ranking.profiles import Profiles, columns_of
from ranking.types import Bools, Codes, Floats, Interactions, Queries

Doubles = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EaseConfig:
    """Hyper-parameters of `Ease`.

    l2: regularisation in events; the optimum grows with the log (100 to 500 at 100,000 events).
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    pair_half_life: if set, two events of a user that lie this many places apart co-occur by half; None: all alike.
    min_events: items with fewer events are left out, which keeps the primal form small.
    """

    l2: float = 300.0
    memory: Memory = field(default_factory=Memory)
    pair_half_life: float | None = None
    min_events: int = 1


class Ease(ItemToItem):
    """Embarrassingly Shallow Autoencoder (Steck 2019, equations 8 and 9).

    scores = x B with B = I - P / diag(P), P = (G + l2 I)^-1, G = X'X of the binary users x items matrix X. With fewer
    users than items we use the dual, exact form: P = (I - X'(XX' + l2 I)^-1 X) / l2, so that B is never built.
    Deviations: profiles may fade, and with a pair half-life G_ij sums 2^(-distance / half-life) over the pairs of
    events of one user (a positive definite kernel, so P exists) instead of 1.
    """

    name: ClassVar[str] = "ease"

    def __init__(self, config: EaseConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = self.config.memory.training(train)
        x = binary(chosen)
        self._knowing(np.asarray(x.sum(axis=0)).ravel() >= self.config.min_events)
        x = x[:, self._known].astype(np.float64)
        x = x[np.diff(x.indptr) > 0]
        if self.config.pair_half_life is None and x.shape[0] < x.shape[1]:
            self._model: Primal | Dual = Dual.solve(x, self.config.l2)
        else:
            self._model = Primal.solve(self._gram(x, chosen), self.config.l2)
        return self

    def _knowing(self, known: Bools) -> None:
        """Answer with these items alone, bool [n_items]."""
        self._known, self._column, self._count = known, columns_of(known), int(np.count_nonzero(known))

    def _gram(self, x: sparse.csr_matrix, chosen: Interactions) -> Doubles:
        gram: Doubles = (x.T @ x).toarray()
        if self.config.pair_half_life is not None:
            half_life = self.config.pair_half_life
            later = followers(chosen, window=int(5 * half_life), half_life=half_life)  # beyond 5 half-lives: < 3 %
            pairs = later[self._known][:, self._known].toarray()
            gram = pairs + pairs.T + np.diag(gram.diagonal())
        return gram

    def score(self, queries: Queries) -> Floats:
        """Scores in units of an event's weight."""
        profiles = self.config.memory.profiles(queries)
        scores = np.zeros((len(queries), queries.n_items), np.float32)
        scores[:, self._known] = self._model.score(profiles.only(self._column, self._count))
        return offer_only(profiles.answered[:, None] & self._known, scores)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of B."""
        known = self._known[sources][:, None] & self._known[targets]
        return np.where(known, self._model.between(self._column[sources], self._column[targets]), np.float32(0))

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"known": self._known, **self._model.arrays()})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, EaseConfig)
        model = cls(config)
        model._knowing(state.bools("known"))
        model._model = Dual.restore(state) if "remainder" in state else Primal(state.floats("weights"))
        return model


@dataclass(frozen=True)
class Primal:
    """weights: B, float32 [n, n], diagonal 0."""

    weights: Floats

    @classmethod
    def solve(cls, gram: Doubles, l2: float) -> Self:
        """B of a Gram matrix, which is overwritten."""
        if not len(gram):  # which LAPACK complains about
            return cls(np.zeros((0, 0), np.float32))
        gram[np.diag_indices_from(gram)] += l2
        # A third of a general inverse's work; LAPACK fills the upper triangle alone.
        factor = linalg.cholesky(gram, overwrite_a=True, check_finite=False)
        upper, _ = linalg.lapack.dpotri(factor, overwrite_c=True)
        inverse = np.triu(upper) + np.triu(upper, 1).T
        weights = -inverse / inverse.diagonal()
        np.fill_diagonal(weights, 0)
        return cls(weights.astype(np.float32))

    def score(self, profiles: Profiles) -> Floats:
        """Profiles times B."""
        return profiles.times(self.weights)

    def between(self, rows: Positions, columns: Positions) -> Floats:
        """Entries of B."""
        return np.asarray(self.weights[np.ix_(rows, columns)])

    def arrays(self) -> Arrays:
        """What to save."""
        return {"weights": self.weights}


@dataclass(frozen=True)
class Dual:
    """x: X, [u, n]. solved: (XX' + l2 I)^-1 X, float32 [u, n]. remainder: l2 diag(P), float32 [n]."""

    x: sparse.csr_matrix
    solved: Floats
    remainder: Floats

    @classmethod
    def solve(cls, x: sparse.csr_matrix, l2: float) -> Self:
        """The same model as `Primal` of X'X."""
        kernel = (x @ x.T).toarray()
        kernel[np.diag_indices_from(kernel)] += l2
        dense = x.toarray()
        solved = linalg.solve(kernel, dense, assume_a="pos", overwrite_a=True)
        remainder = 1 - np.einsum("ui,ui->i", dense, solved)
        return cls(x.astype(np.float32), solved.astype(np.float32), remainder.astype(np.float32))

    def score(self, profiles: Profiles) -> Floats:
        """Profiles minus (profiles P) / diag(P), in an order that loses no digits where a profile is 0."""
        explained = profiles.through(self._by_item) @ self.solved  # nearly dense: most users share an item
        own = profiles.dense()
        return np.asarray(own + (explained - own) / self.remainder)

    def between(self, rows: Positions, columns: Positions) -> Floats:
        """Entries of B."""
        explained = self._by_item[rows] @ self.solved[:, columns]
        return np.where(rows[:, None] == columns, np.float32(0), explained / self.remainder[columns])

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        return self.x.T.tocsr()

    def arrays(self) -> Arrays:
        """What to save."""
        return {"solved": self.solved, "remainder": self.remainder, **pack("x", self.x)}

    @classmethod
    def restore(cls, state: State) -> Self:
        """What `arrays` gave."""
        return cls(state.matrix("x"), state.floats("solved"), state.floats("remainder"))
