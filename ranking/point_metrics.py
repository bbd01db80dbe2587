"""How good single predictions are: the order, the size and the honesty of probabilities, the error of values.

Everything reads `predicted`: float [n], and `observed`: bool or float [n]; rows stand for themselves, not for queries.
Without a row there is nothing to say, and the answer is NaN.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from ranking.types import Bools

BINS: Final = 20
LEAST: Final = 1e-7  # probabilities are kept this far from 0 and 1, as the published tables do

Values = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Reliability:
    """Rows in bins of about equal size, by ascending prediction. Means of both sides, float64 [b]; rows, int64 [b]."""

    predicted: npt.NDArray[np.float64]
    observed: npt.NDArray[np.float64]
    n: npt.NDArray[np.int64]


def auc(predicted: Values, observed: Bools) -> float:
    """Share of the pairs of a positive and a negative row that stand in the right order, ties counting half.

    By ranks (Mann and Whitney, 1947); NaN where there is no such pair.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([False, True, False, True]))
    0.875
    """
    positives = int(observed.sum())
    pairs = positives * (len(observed) - positives)
    if not pairs:
        return float("nan")
    ranks = rankdata(predicted)
    return float((ranks[observed].sum() - positives * (positives + 1) / 2) / pairs)


def logloss(predicted: Values, observed: Bools) -> float:
    """Mean of -log of the probability that was given to what came to be.

    >>> round(logloss(np.array([0.5, 0.25]), np.array([True, False])), 4)
    0.4904
    """
    return float(np.mean(logloss_of_rows(predicted, observed))) if len(observed) else float("nan")


def logloss_of_rows(predicted: Values, observed: Bools) -> npt.NDArray[np.float64]:
    """Each row's part of the loss, float64 [n]."""
    chance = np.clip(np.asarray(predicted, np.float64), LEAST, 1 - LEAST)
    return np.asarray(-np.log(np.where(observed, chance, 1 - chance)))


def rmse(predicted: Values, observed: Values) -> float:
    """Root of the mean squared error.

    >>> rmse(np.array([3.0, 5.0]), np.array([4.0, 5.0])) == 0.5**0.5
    True
    """
    return float(np.sqrt(np.mean((predicted - observed) ** 2))) if len(observed) else float("nan")


def mae(predicted: Values, observed: Values) -> float:
    """Mean of the absolute error.

    >>> mae(np.array([3.0, 5.0]), np.array([4.0, 5.0]))
    0.5
    """
    return float(np.mean(np.abs(predicted - observed))) if len(observed) else float("nan")


def reliability(predicted: Values, observed: Bools, *, bins: int = BINS) -> Reliability:
    """What was predicted and what came of it; rows with one prediction share a bin, so there may be fewer bins.

    >>> found = reliability(np.array([0.1, 0.9, 0.3, 0.7]), np.array([False, True, False, False]), bins=2)
    >>> found.predicted.tolist(), found.observed.tolist(), found.n.tolist()
    ([0.2, 0.8], [0.0, 0.5], [2, 2])
    """
    order = np.argsort(predicted, kind="stable")
    ranked = np.asarray(predicted, np.float64)[order]
    wanted = np.arange(len(ranked)) * bins // max(len(ranked), 1)
    first = np.searchsorted(ranked, ranked, side="left")  # of all rows with the same prediction
    bin_of = np.unique(wanted[first], return_inverse=True)[1] if len(ranked) else wanted
    n = np.bincount(bin_of)
    told, found = (np.bincount(bin_of, values) for values in (ranked, observed[order].astype(np.float64)))
    return Reliability(told / np.maximum(n, 1), found / np.maximum(n, 1), n.astype(np.int64))


def calibration_error(predicted: Values, observed: Bools, *, bins: int = BINS) -> float:
    """Expected calibration error: mean of |predicted - observed| over bins of equal size (Naeini et al. 2015).

    Theirs are bins of equal width; of equal size none is all but empty (Nixon et al. 2019).

    >>> round(calibration_error(np.array([0.2, 0.2, 0.6, 0.6]), np.array([False, False, True, True]), bins=2), 4)
    0.3
    """
    found = reliability(predicted, observed, bins=bins)
    return (
        float(np.average(np.abs(found.predicted - found.observed), weights=found.n)) if len(found.n) else float("nan")
    )
