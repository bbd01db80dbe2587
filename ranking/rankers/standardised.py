"""Values of mean 0 and deviation 1 within each slate: what a score of one slate and of another have in common."""

from typing import Final

import numpy as np
import numpy.typing as npt

SAME: Final = 1e-6  # deviation over mean: what float32 leaves uncertain in a sum of some hundred products

Values = npt.NDArray[np.float64]


def standardise(scores: Values, groups: npt.NDArray[np.int64]) -> Values:
    """Zero mean and unit variance within each slate; what is equal in a slate to within `SAME` becomes zeros.

    scores: float64 [n] or [n, c], each column by itself. groups: int64 [q], rows of each slate, one after the other.

    >>> standardise(np.array([1.0, 3.0, 5.0, 5.0]), np.array([2, 2]))
    array([-1.,  1.,  0.,  0.])
    """
    sizes = groups[groups > 0]
    if not len(sizes):
        return np.zeros_like(scores)
    starts = np.cumsum(sizes) - sizes
    count = sizes.reshape(-1, *[1] * (scores.ndim - 1))
    mean = np.add.reduceat(scores, starts, axis=0) / count
    centred = scores - np.repeat(mean, sizes, axis=0)
    deviation = np.sqrt(np.add.reduceat(centred**2, starts, axis=0) / count)
    differ = deviation > np.maximum(1e-12, SAME * np.abs(mean))
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=differ)
    return np.asarray(centred * np.repeat(scale, sizes, axis=0))
