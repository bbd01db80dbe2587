"""The same number of trials for every model: hyper-parameters by NDCG@10 on a validation split.

The first trials are a grid's; the last ones step from the best config found so far, so that a winner on the edge of a
grid is not the end of it.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.generator import Generator
from ranking.metrics import hits_of, ndcg
from ranking.types import Interactions, Queries

K: Final = 10
MARGIN: Final = 0.02  # of the mean; the best of many is flattered, and trials that differ by less are as good in use
STEPS: Final = 2  # trials of a budget that go beyond the grid

Config = TypeVar("Config")
Tried = TypeVar("Tried", covariant=True)


@dataclass(frozen=True)
class Trial(Generic[Tried]):
    """One config on the validation split: mean NDCG@10 over its queries, and what it took.

    halves: the same over two random halves of the queries. searched: found by a search beyond the grid.
    """

    config: Tried
    ndcg: float
    fit_s: float
    score_s: float
    halves: tuple[float, ...]
    searched: bool = False
    started_at: datetime | None = None


@dataclass(frozen=True)
class Tuned(Generic[Tried]):
    """The best of a model's trials by `best_of`. make: a new, unfitted model of that config."""

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
    trials: list[Trial[Config]] = []
    while True:
        config = next_config([(one.config, one.ndcg) for one in trials], grid, steps, budget=budget)
        if config is None:
            break
        trials.append(_try(make(config), config, train, queries, relevant))
    best = best_of(trials)
    return Tuned(name, best.config, best.ndcg, tuple(trials), make=lambda: make(best.config))


def next_config(
    tried: Sequence[tuple[Config, float]],
    grid: Sequence[Config],
    steps: Callable[[Config], Sequence[Config]],
    *,
    budget: int,
) -> Config | None:
    """What `budget` trials hold after those tried, with their NDCG; None where they are over, or nothing is left."""
    if len(tried) >= budget:
        return None
    wanted = list(grid)
    if len(tried) >= min(len(grid), max(1, budget - STEPS)):
        best, _ = max(tried, key=lambda one: one[1])
        wanted = [*steps(best), *grid]
    before = [config for config, _ in tried]
    return next((config for config in wanted if config not in before), None)


def best_of(trials: Iterable[Trial[Config]]) -> Trial[Config]:
    """The best trial of the grid, the earliest of equal ones; a searched one only where that is clearly better."""
    trials = list(trials)
    of_grid = [trial for trial in trials if not trial.searched]
    searched = [trial for trial in trials if trial.searched]
    if not of_grid:
        return max(searched, key=lambda trial: trial.ndcg)
    best = max(of_grid, key=lambda trial: trial.ndcg)
    better = [trial for trial in searched if clearly_better(trial.halves, best.halves)]
    return max(better, key=lambda trial: trial.ndcg, default=best)


def clearly_better(found: Sequence[float], reference: Sequence[float]) -> bool:
    """Whether parts of a measure are better one by one, and by `MARGIN` on the mean."""
    return all(one > other for one, other in zip(found, reference, strict=True)) and bool(
        np.mean(found) > (1 + MARGIN) * np.mean(reference)
    )


def halves_of(values: npt.NDArray[np.float64], seed: int = 0) -> tuple[float, ...]:
    """Means over two random halves of the queries' values; of a single query its value."""
    half = np.random.default_rng(seed).permutation(len(values)) % 2
    return tuple(float(values[half == one].mean()) for one in np.unique(half))


def measured(
    model: Generator, train: Interactions, queries: Queries, relevant: sparse.csr_matrix
) -> tuple[npt.NDArray[np.float64], float, float]:
    """NDCG@10 of each query by a model fitted on `train`, and the seconds of fitting and of ranking."""
    start = time.perf_counter()
    model.fit(train)
    fitted = time.perf_counter()
    ranked, _ = full_ranking(model, queries, k=K)
    scored = time.perf_counter()
    return ndcg(hits_of(ranked, relevant), np.diff(relevant.indptr), K), fitted - start, scored - fitted


def _try(
    model: Generator, config: Config, train: Interactions, queries: Queries, relevant: sparse.csr_matrix
) -> Trial[Config]:
    started_at = datetime.now(UTC)
    found, fit_s, score_s = measured(model, train, queries, relevant)
    return Trial(config, float(found.mean()), fit_s, score_s, halves_of(found), started_at=started_at)
