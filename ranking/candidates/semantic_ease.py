"""EASE that is drawn towards what content says, in closed form."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from ranking.artifacts import Arrays
from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory, binary
from ranking.candidates.products import filled
from ranking.candidates.state import State, load_state, pack, save_state
from ranking.profiles import Profiles
from ranking.types import Bools, Floats, Interactions, Queries

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SemanticEaseConfig:
    """Hyper-parameters of `SemanticEase`; measured on window 1 of P2, see docs/evaluation.md.

    l2: regularisation in events, as EASE's.
    strength: how hard the weights are drawn towards those of content, in events; 0 is EASE.
    content_l2: regularisation of the weights that content alone gives, in units of a vector's squared length.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    l2: float = 300.0
    strength: float = 300.0
    content_l2: float = 10.0
    memory: Memory = field(default_factory=lambda: Memory(half_life_events=10, others=0.2))


class SemanticEase(Generator):
    """Weights B that minimise |X - XB|^2 + l2 |B|^2 + strength |B - C|^2 with a diagonal of 0.

    X: binary users x items. C: the EASE of the items' vectors F, of which each coordinate counts as a user: the
    semantic regulariser of L3AE (Moon et al. 2025, equations 5 to 8), with aligned vectors in place of a language
    model's. With P = (X'X + (l2 + strength) I)^-1 and S = (FF' + content_l2 I)^-1,

        B = I - P (strength S / diag(S) + diag(e)),  e so that the diagonal is 0.

    S is never built, nor, with fewer users than items, P: each is the identity minus a product of low rank. Items
    without an event have weights by their content; those without either are not offered.

    Args:
        config: hyper-parameters.
        vectors: float32 [n_items, d], rows at length 1 or 0; d is small.
    """

    name: ClassVar[str] = "ease_semantic"

    def __init__(self, config: SemanticEaseConfig, vectors: Floats) -> None:
        self.config = config
        self.vectors = vectors

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        config = self.config
        x = binary(config.memory.training(train)).astype(np.float64)
        met = np.asarray(x.sum(axis=0)).ravel() > 0
        self._known: Bools = met | (filled(self.vectors) & (config.strength > 0))
        self._inverse = Inverse.of(x[np.diff(x.indptr) > 0], config.l2 + config.strength)

        f: Doubles = self.vectors.astype(np.float64)
        h = linalg.solve(f.T @ f + config.content_l2 * np.eye(f.shape[1]), f.T, assume_a="pos").T  # S = (I - hf') / l2
        pf, diagonal = self._inverse.times(f), self._inverse.diagonal
        pull = config.strength / np.maximum(1 - np.einsum("nd,nd->n", h, f), 1e-9)
        kept = config.l2 * diagonal + pull * (diagonal - np.einsum("nd,nd->n", pf, h))
        self._own: Floats = (config.l2 + (1 - kept) / diagonal + pull).astype(np.float32)
        self._from: Floats = pf.astype(np.float32)
        self._to: Floats = (pull[:, None] * h).astype(np.float32)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores in units of an event's weight."""
        profiles = self.config.memory.profiles(queries)
        content = profiles.times(self._from) @ self._to.T
        scores = self._inverse.weighted(profiles, self._own) + content
        return offer_only(profiles.answered[:, None] & self._known, scores)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays: Arrays = {"vectors": self.vectors, "known": self._known, "own": self._own}
        arrays |= {"from": self._from, "to": self._to, **self._inverse.arrays()}
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, SemanticEaseConfig)
        model = cls(config, state.floats("vectors"))
        model._known, model._own = state.bools("known"), state.floats("own")
        model._from, model._to = state.floats("from"), state.floats("to")
        model._inverse = Inverse.restore(state)
        return model


@dataclass(frozen=True)
class Inverse:
    """P = (X'X + l2 I)^-1, whole or, with fewer users than items, as (I - X' solved) / l2.

    whole: float32 [n, n] or None. x: X [u, n] and solved: (XX' + l2 I)^-1 X, float32 [u, n], or None.
    """

    l2: float
    diagonal: Doubles
    whole: Floats | None
    x: sparse.csr_matrix | None
    solved: Floats | None

    @classmethod
    def of(cls, x: sparse.csr_matrix, l2: float) -> Self:
        """Invert; x: float64 [u, n]."""
        if x.shape[0] < x.shape[1]:
            kernel = (x @ x.T).toarray()
            kernel[np.diag_indices_from(kernel)] += l2
            solved = linalg.solve(kernel, x.toarray(), assume_a="pos", overwrite_a=True)
            diagonal = (1 - np.asarray(x.multiply(solved).sum(axis=0)).ravel()) / l2
            return cls(l2, diagonal, None, x.astype(np.float32), solved.astype(np.float32))
        gram: Doubles = (x.T @ x).toarray()
        gram[np.diag_indices_from(gram)] += l2
        upper, _ = linalg.lapack.dpotri(linalg.cholesky(gram, overwrite_a=True, check_finite=False), overwrite_c=True)
        whole = np.triu(upper) + np.triu(upper, 1).T
        return cls(l2, whole.diagonal().copy(), whole.astype(np.float32), None, None)

    def times(self, matrix: Doubles) -> Doubles:
        """P times a matrix [n, d]."""
        if self.whole is not None:
            return np.asarray(self.whole @ matrix, np.float64)
        return np.asarray((matrix - self._users.T @ (self._solutions @ matrix)) / self.l2, np.float64)

    def weighted(self, profiles: Profiles, own: Floats) -> Floats:
        """Profiles minus (profiles P) own, in an order that loses no digits where a profile is 0."""
        mine = profiles.dense()
        if self.whole is not None:
            return np.asarray(mine - profiles.times(self.whole) * own)
        explained = profiles.through(self._by_item) @ self._solutions
        return np.asarray(mine + (explained - mine) * (own / np.float32(self.l2)))

    @cached_property
    def _by_item(self) -> sparse.csr_matrix:
        return self._users.T.tocsr()

    @property
    def _users(self) -> sparse.csr_matrix:
        assert self.x is not None
        return self.x

    @property
    def _solutions(self) -> Floats:
        assert self.solved is not None
        return self.solved

    def arrays(self) -> Arrays:
        """What to save."""
        arrays: Arrays = {"l2": np.array([self.l2], np.float32), "diagonal": self.diagonal.astype(np.float32)}
        if self.whole is not None:
            return {**arrays, "whole": self.whole}
        return {**arrays, "solved": self._solutions, **pack("x", self._users)}

    @classmethod
    def restore(cls, state: State) -> Self:
        """What `arrays` gave."""
        l2, diagonal = float(state.floats("l2")[0]), state.floats("diagonal").astype(np.float64)
        if "whole" in state:
            return cls(l2, diagonal, state.floats("whole"), None, None)
        return cls(l2, diagonal, None, state.matrix("x"), state.floats("solved"))
