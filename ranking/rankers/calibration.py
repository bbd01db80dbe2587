"""From scores to probabilities: a rising function, fitted on what came after the model had learned."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression
from scipy.special import expit

from ranking.artifacts import load_as, save_as
from ranking.types import Bools

Method = Literal["isotonic", "platt"]

STEPS: Final = 50
SETTLED: Final = 1e-9

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """A curve through the knots (margins, ascending; chances), level beyond the ends; or a sigmoid.

    isotonic: the rising step function nearest to the outcomes (Zadrozny and Elkan, 2002), drawn as straight lines
    between the mean margins of its steps, so that different margins of one step keep their order; a step that saw
    nothing but one outcome in n rows says 1 / (n + 2) less than certain (Laplace).
    platt: sigmoid(slope * margin + intercept), outcomes shrunk as its author did (Platt, 1999).
    """

    method: Method
    margins: tuple[float, ...] = ()
    chances: tuple[float, ...] = ()
    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, margins: npt.NDArray[np.floating], observed: Bools, *, method: Method = "isotonic") -> Self:
        """From scores, float [n], and what came of them. Without a row of either outcome, the sigmoid of the margin."""
        told = np.asarray(margins, np.float64)
        if not len(observed) or method == "platt":
            slope, intercept = _platt(told, observed)
            return cls(method="platt", slope=slope, intercept=intercept)
        at, chances = _isotonic(told, observed)
        return cls(method, tuple(at.tolist()), tuple(chances.tolist()))

    def probability(self, margins: npt.NDArray[np.floating]) -> Numbers:
        """Probabilities float64 [n], rising with the margin."""
        told = np.asarray(margins, np.float64)
        if self.method == "platt":
            return np.asarray(expit(self.slope * told + self.intercept))
        return np.interp(told, self.margins, self.chances)

    def save(self, folder: Path) -> None:
        """Write it as JSON."""
        save_as(folder / "calibration.json", self, Calibration)

    @classmethod
    def load(cls, folder: Path) -> "Calibration":
        """Read what `save` wrote."""
        return load_as(folder / "calibration.json", Calibration)


def _isotonic(margins: Numbers, observed: Bools) -> tuple[Numbers, Numbers]:
    """Mean margin and chance of each step."""
    at, row = np.unique(margins, return_inverse=True)  # one margin, one chance
    n = np.bincount(row)
    rising = isotonic_regression(np.bincount(row, observed.astype(np.float64)) / n, weights=n)
    step = np.repeat(np.arange(len(rising.blocks) - 1), np.diff(rising.blocks))
    rows = np.bincount(step, n)
    chances = np.bincount(step, rising.x * n) / rows
    unsure = 1 / (rows + 2)
    return np.bincount(step, at * n) / rows, np.clip(chances, unsure, 1 - unsure)


def _platt(margins: Numbers, observed: Bools) -> tuple[float, float]:
    """Slope and intercept by Newton's method."""
    positives, negatives = int(observed.sum()), int((~observed).sum())
    if not positives or not negatives:
        return 1.0, 0.0
    target = np.where(observed, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights = np.array([0.0, np.log((positives + 1) / (negatives + 1))])
    inputs = np.stack([margins, np.ones_like(margins)], axis=1)
    for _ in range(STEPS):
        chance = expit(inputs @ weights)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + 1e-9 * np.eye(2)
        change = np.linalg.solve(curvature, inputs.T @ (target - chance))
        weights += change
        if np.abs(change).max() < SETTLED:
            break
    return float(weights[0]), float(weights[1])
