"""Chance in the order of a page, so that it learns about items it would not show, with exact propensities.

A slot's propensity is the probability that it got its item, given the slots before it. What later learns from clicks
divides by it (inverse propensity scoring, Horvitz and Thompson 1952).
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from ranking.strategy.explorer import Explorer

POOL: Final = 20  # candidates for a slot among which chance decides: the ones below are shown to nobody
KNOWN: Final = 10.0  # interactions that make an item's deviation 1 / sqrt(2) of an unmet item's
LEAST: Final = 0.1  # of an unmet item's deviation, that any item keeps: it bounds the nodes of the quadrature
OPTIMISM: Final = 2.0  # deviations above its mean, by which an item comes into the pool
TAIL: Final = 8.0  # deviations beyond which a normal is nothing: 1e-15
NODES: Final = 3.0  # of the trapezoidal rule in the least deviation; of 20 equal normals 2 are exact to 1e-5, 3 to 1e-9

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """index: into the values. propensity: in (0, 1]."""

    index: int
    propensity: float


class Draws(Protocol):
    """Who fills a slot."""

    def draw(self, values: Values, met: Values) -> Drawn:
        """One of the values [n], n > 0. met: float64 [n], how often each item was met by anybody."""


class Best:
    """No chance: the greatest value, the first of equal ones."""

    def draw(self, values: Values, met: Values) -> Drawn:
        """It, for certain."""
        return Drawn(int(np.argmax(values)), 1.0)


class Epsilon:
    """With probability `rate` one of the `POOL` best, all alike; else the best."""

    def __init__(self, rate: float, rng: np.random.Generator) -> None:
        self._rate, self._rng = rate, rng

    def draw(self, values: Values, met: Values) -> Drawn:
        """One of them."""
        pool = best(values, POOL)
        chances = epsilon_chances(len(pool), self._rate)
        place = int(self._rng.integers(len(pool))) if self._rng.random() < self._rate else 0
        return Drawn(int(pool[place]), float(chances[place]))


class Thompson:
    """The greatest of independent normals around the values, drawn anew for each slot.

    deviation: of an unmet item's normal. Only the `POOL` items with the greatest mean + `OPTIMISM` deviations compete.
    """

    def __init__(self, deviation: float, rng: np.random.Generator) -> None:
        self._deviation, self._rng = deviation, rng

    def draw(self, values: Values, met: Values) -> Drawn:
        """One of them."""
        deviations = deviations_of(met, self._deviation)
        pool = best(values + OPTIMISM * deviations, POOL)
        means, deviations = values[pool], deviations[pool]
        place = int(np.argmax(means + deviations * self._rng.standard_normal(len(pool))))
        return Drawn(int(pool[place]), chance_of_greatest(means, deviations, place))


def draws(explorer: Explorer, rate: float, scores: Values, *, seed: int) -> Draws:
    """Who fills the slots of a page. rate: 0 to 1; 0 is no chance. scores: float64 [n], what it is weighed against.

    Thompson's deviation of an unmet item is `rate` times the deviation of the scores.
    """
    rng = np.random.default_rng(seed)
    if rate <= 0 or not len(scores):
        return Best()
    if explorer is Explorer.EPSILON:
        return Epsilon(rate, rng)
    deviation = rate * float(np.std(scores))
    return Thompson(deviation, rng) if deviation > 0 else Best()


def epsilon_chances(n: int, rate: float) -> Values:
    """Of n items, the best first, float64 [n]; they sum to 1."""
    return np.where(np.arange(n) == 0, 1 - rate, 0.0) + rate / n


def deviations_of(met: Values, unmet: float) -> Values:
    """Falling with how often an item was met as a mean's does, and not below `LEAST` of an unmet item's."""
    return np.asarray(unmet * np.maximum(1 / np.sqrt(1 + met / KNOWN), LEAST))


def chance_of_greatest(means: Values, deviations: Values, of: int) -> float:
    """The probability that one of n independent normals is the greatest of all: one integral.

    Its density times the distribution functions of all others, by the trapezoidal rule between where it can lie as the
    greatest; rounding is kept above 0.
    """
    low = max((means - TAIL * deviations).max(), means[of] - TAIL * deviations[of])
    high = means[of] + TAIL * deviations[of]
    step = deviations.min() / NODES
    at = np.arange(low, high + step, step)
    others = np.delete(np.arange(len(means)), of)
    below = ndtr((at[None, :] - means[others, None]) / deviations[others, None])
    density = np.exp(-(((at - means[of]) / deviations[of]) ** 2) / 2) / (deviations[of] * np.sqrt(2 * np.pi))
    return float(min(max((density * below.prod(axis=0)).sum() * step, 1e-12), 1.0))


def best(values: Values, n: int) -> npt.NDArray[np.int64]:
    """Where the n greatest stand, the greatest first, the first of equal ones first."""
    if n < len(values):
        least = np.partition(values, -n)[-n]
        above = np.flatnonzero(values >= least)
        return above[np.argsort(-values[above], kind="stable")][:n]
    return np.argsort(-values, kind="stable")
