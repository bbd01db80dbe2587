"""Logistic regression over slates: what no tree can say, that more of everything is better.

Columns are standardised within the slate, so that a weight means the same in every slate; a missing value is the
slate's mean. Source: Newton's method on the penalised likelihood (Hastie, Tibshirani, Friedman 2009, section 4.4).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.rankers.features import FeatureMatrix
from ranking.types import Bools, Floats

STEPS: Final = 12
SETTLED: Final = 1e-4  # largest change of a weight in the last step


@dataclass(frozen=True)
class LinearConfig:
    """l2: penalty on squared weights; 100 was best of 100 and 1,000 on validation windows of both MovieLens sets.

    negatives: share of the rows without a positive label that are learned from, drawn evenly by `seed`.
    """

    l2: float = 100.0
    negatives: float = 0.25
    seed: int = 0


@dataclass(frozen=True)
class Linear:
    """names: the f columns that are read, in order. weights: f numbers."""

    config: LinearConfig
    names: tuple[str, ...]
    weights: tuple[float, ...]

    @classmethod
    def fit(
        cls, features: FeatureMatrix, labels: Bools, groups: npt.NDArray[np.int64], *, config: LinearConfig
    ) -> Self:
        """Learn from slates (rows in slate order, `groups` int64 sizes); those without a positive are left out."""
        slate = np.repeat(np.arange(len(groups)), groups)
        sampled = np.random.default_rng(config.seed).random(len(labels)) < config.negatives
        told = (np.bincount(slate, labels, minlength=len(groups)) > 0)[slate] & (labels | sampled)
        values = in_slates(features.values, groups)[told]
        weights = _newton(np.column_stack([values, np.ones(len(values), np.float32)]), labels[told], config.l2)
        return cls(config, features.names, tuple(weights[:-1].tolist()))

    def score(self, features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> Floats:
        """Scores float32 [n], comparable within a slate only."""
        return in_slates(features.select(self.names), groups) @ np.asarray(self.weights, np.float32)

    def contributions(self, slate: FeatureMatrix) -> npt.NDArray[np.float64]:
        """What each feature adds to the scores of one slate's rows, float64 [n, f], columns as `names`."""
        values = in_slates(slate.select(self.names), np.array([len(slate)]))
        return np.asarray(values * np.asarray(self.weights))

    def save(self, folder: Path) -> None:
        """Write the weights as JSON."""
        save_as(folder / "linear.json", self, Linear)

    @classmethod
    def load(cls, folder: Path) -> "Linear":
        """Read what `save` wrote."""
        return load_as(folder / "linear.json", Linear)


def in_slates(values: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """Columns of zero mean and unit variance within each slate, NaN as 0, float32 [n, f]; equal values become 0.

    >>> in_slates(np.array([[1.0], [3.0], [np.nan], [5.0]], np.float32), np.array([3, 1])).ravel().tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    filled = np.empty_like(values)
    start = 0
    for size in groups.tolist():
        part = values[start : start + size]
        known = ~np.isnan(part)
        count = np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, part - np.where(known, part, 0).sum(axis=0) / count, 0)
        deviation = np.sqrt((centred**2).sum(axis=0) / count)
        filled[start : start + size] = np.where(deviation > 1e-9, centred / np.maximum(deviation, 1e-9), 0)
        start += size
    return filled


def _newton(values: Floats, labels: Bools, l2: float) -> npt.NDArray[np.float64]:
    """Weights float64 [f] of values [n, f], of which the last column is the intercept's, without penalty."""
    weights = np.zeros(values.shape[1])
    if not len(labels):
        return weights
    share = np.clip(labels.mean(), 1e-6, 1 - 1e-6)
    weights[-1] = np.log(share / (1 - share))
    penalty = np.append(np.full(len(weights) - 1, l2), 1e-6)
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-(values @ weights.astype(np.float32))))
        curvature = (values * (chance * (1 - chance))[:, None]).T @ values + np.diag(penalty)
        step = np.linalg.solve(curvature, values.T @ (chance - labels) + penalty * weights)
        weights -= step
        if np.abs(step).max() < SETTLED:
            break
    return weights
