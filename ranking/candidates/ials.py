"""iALS: matrix factorisation of implicit feedback by alternating least squares, our own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.state import load_state, save_state
from ranking.candidates.threads import one_blas_thread
from ranking.types import Bools, Codes, Floats, Interactions, Queries

BATCH_CELLS: Final = 100_000  # gathered factor values at one time; 40 times as many take twice the time


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
        self._known: Bools = np.diff(by_item.indptr) > 0
        rng = np.random.default_rng(self.config.seed)
        scale = self.config.init_scale / np.sqrt(self.config.factors)
        start = rng.normal(0, scale, (by_item.shape[0], self.config.factors)).astype(np.float32)
        self._items: Floats = start * self._known[:, None]
        for _ in range(self.config.iterations):
            self._items = solve_rows(by_item, solve_rows(by_user, self._items, self.config), self.config)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores near 1 for items like those of the profile."""
        profiles = self.config.memory.profiles(queries)
        scores = solve_rows(profiles, self._items, self.config) @ self._items.T
        answered = np.diff(profiles.indptr) > 0
        return offer_only(answered[:, None] & self._known, scores)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"items": self._items, "known": self._known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, IalsConfig)
        model = cls(config)
        model._items, model._known = state.floats("items"), state.bools("known")
        return model


def solve_rows(rows: sparse.csr_matrix, factors: Floats, config: IalsConfig) -> Floats:
    """Factors float32 [r, d] that fit weights `rows` [r, n] given the other side's `factors` [n, d].

    Rows of similar length are solved together, padded to the longest. Empty rows have factors 0.
    """
    counts = np.diff(rows.indptr)
    solution = np.zeros((rows.shape[0], factors.shape[1]), np.float32)
    everything = config.unobserved * (factors.T @ factors)
    identity = np.eye(factors.shape[1], dtype=np.float32)

    with one_blas_thread():
        for batch in _batches(counts, factors.shape[1]):
            place = np.arange(counts[batch[-1]])
            inside = place < counts[batch, None]
            entry = np.where(inside, rows.indptr[batch, None] + place, 0)
            weight = rows.data[entry] * inside  # [b, longest]
            near = factors[rows.indices[entry]]  # [b, longest, d]
            weighted = near * weight[:, :, None]
            l2 = config.l2 * (counts[batch] + config.unobserved * len(factors)) ** config.nu
            left = everything + weighted.transpose(0, 2, 1) @ near + l2.astype(np.float32)[:, None, None] * identity
            solution[batch] = np.linalg.solve(left, weighted.sum(axis=1)[:, :, None])[:, :, 0]
    return solution


def _batches(counts: npt.NDArray[np.int32], width: int) -> Iterator[Codes]:
    """Rows that are not empty, longest first, so many at a time that their gathered factors stay in the cache."""
    order = np.argsort(counts, kind="stable").astype(np.int32)
    order = order[counts[order] > 0]
    while len(order):
        batch = order[-max(1, BATCH_CELLS // int(counts[order[-1]] * width)) :]
        order = order[: -len(batch)]
        yield batch
