"""How far a mean over users may be from the truth: the paired bootstrap (Efron, 1979; percentile intervals).

Users are drawn with replacement, the same draws for every model, so that what makes a user easy or hard for all models
cancels out of a comparison.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

RESAMPLES: Final = 2000
BLOCK: Final = 4_000_000  # drawn users held at once: 32 MB

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
