"""How far a mean over users may be from the truth, and whether two models differ at all.

Intervals: the paired bootstrap (Efron, 1979; percentile intervals). Users are drawn with replacement, the same draws
for every model, so that what makes a user easy or hard for all models cancels out of a comparison. p-values: the paired
randomisation test (Fisher, 1935; for rankings Smucker, Allan and Carterette, 2007), corrected after Holm (1979).
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 2000
BLOCK: Final = 4_000_000  # drawn users held at once: 32 MB
FLIPS: Final = 10_000  # of the randomisation test: no p-value is below 1 / 10,001

Values: TypeAlias = npt.NDArray[np.float64]
Interval: TypeAlias = tuple[float, float]


def resampled_means(values: Values, *, resamples: int = RESAMPLES, seed: int = 0) -> Values:
    """Means of each model over redrawn users: [resamples, m] of values [users, m], users at least 1."""
    users, models = values.shape
    draw = np.random.default_rng(seed)
    block = max(1, BLOCK // users)
    means = np.empty((resamples, models))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = draw.integers(0, users, (size, users)) + np.arange(size)[:, None] * users
        counts = np.bincount(drawn.ravel(), minlength=size * users).reshape(size, users)
        means[start : start + size] = counts @ values / users
    return means


def ci95(means: Values) -> Interval:
    """The middle 95 % of resampled means [resamples]."""
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def relative_ci95(ours: Values, theirs: Values) -> Interval | None:
    """Interval of ours / theirs - 1, both [resamples] of the same draws; None where some draw of `theirs` is 0.

    >>> relative_ci95(np.array([3.0, 6.0]), np.array([2.0, 4.0]))
    (0.5, 0.5)
    """
    return ci95(ours / theirs - 1) if (theirs > 0).all() else None


def randomisation_p(differences: Values, *, flips: int = FLIPS, seed: int = 0) -> Values:
    """Two-sided p-values [m] of paired differences [users, m]: how often chance alone makes so large a mean.

    If two models were alike, each user's difference might as well have the other sign: p = (1 + flips of all signs at
    random whose mean is at least as far from 0) / (1 + flips).

    >>> randomisation_p(np.zeros((5, 1))).tolist()
    [1.0]
    """
    users, models = differences.shape
    draw = np.random.default_rng(seed)
    seen = np.abs(differences.sum(axis=0)) * (1 - 1e-9)  # sums of the same numbers in another order may differ a little
    as_far = np.zeros(models)
    block = max(1, BLOCK // users)
    for start in range(0, flips, block):
        signs = 1.0 - 2.0 * draw.integers(0, 2, (min(block, flips - start), users), np.int8)
        as_far += (np.abs(signs @ differences) >= seen).sum(axis=0)
    return (1 + as_far) / (1 + flips)


def holm(p: Values) -> Values:
    """p-values [m] made larger so that all m claims together err with the stated chance (Holm, 1979, step down).

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted
