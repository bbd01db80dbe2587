"""The same number of trials for every model: hyper-parameters by NDCG@10 on a validation split.

The first trials are a grid's; the last ones step from the best config found so far, so that a winner on the edge of a
grid is not the end of it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import numpy as np
from scipy import sparse

from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.generator import Generator
from ranking.metrics import hits_of, ndcg
from ranking.types import Interactions, Queries

K: Final = 10
STEPS: Final = 2  # trials of a budget that go beyond the grid

Config = TypeVar("Config")
Tried = TypeVar("Tried", covariant=True)


@dataclass(frozen=True)
class Trial(Generic[Tried]):
    """One config on the validation split: mean NDCG@10 over its queries, and what it took."""

    config: Tried
    ndcg: float
    fit_s: float
    score_s: float


@dataclass(frozen=True)
class Tuned(Generic[Tried]):
    """The best of a model's trials; the earliest of equal ones. make: a new, unfitted model of that config."""

    name: str
    config: Tried
    ndcg: float
    trials: tuple[Trial[Tried], ...]
    make: Callable[[], Generator]


def tune(
    name: str,
    make: Callable[[Config], Generator],
    grid: Sequence[Config],
    train: Interactions,
    queries: Queries,
    relevant: sparse.csr_matrix,
    *,
    budget: int,
    steps: Callable[[Config], Sequence[Config]] = lambda config: (),
) -> Tuned[Config]:
    """Fit `budget` configs on `train` and keep the one that ranks `relevant` [q, n_items] best.

    Full ranking of all offered items; those of a query's history are left out. Grids stand in the order in which
    their configs are worth trying. steps: what to try around a config, in that order; the last `STEPS` trials are the
    first untried ones around the best so far, where there are any. Raises ValueError for a budget below 1 or an empty
    grid.
    """
    if budget < 1 or not grid:
        raise ValueError(f"{name}: budget {budget} and {len(grid)} configs; accepted is at least one of each")
    trials = [_try(make(config), config, train, queries, relevant) for config in grid[: max(1, budget - STEPS)]]
    while len(trials) < budget:
        best = max(trials, key=lambda trial: trial.ndcg)
        tried = [trial.config for trial in trials]
        untried = [config for config in (*steps(best.config), *grid) if config not in tried]
        if not untried:
            break
        trials.append(_try(make(untried[0]), untried[0], train, queries, relevant))
    best = max(trials, key=lambda trial: trial.ndcg)
    return Tuned(name, best.config, best.ndcg, tuple(trials), make=lambda: make(best.config))


def _try(
    model: Generator, config: Config, train: Interactions, queries: Queries, relevant: sparse.csr_matrix
) -> Trial[Config]:
    start = time.perf_counter()
    model.fit(train)
    fitted = time.perf_counter()
    ranked, _ = full_ranking(model, queries, k=K)
    scored = time.perf_counter()
    found = ndcg(hits_of(ranked, relevant), np.diff(relevant.indptr), K)
    return Trial(config, float(found.mean()), fitted - start, scored - fitted)
