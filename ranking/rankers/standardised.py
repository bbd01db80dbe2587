"""Values of mean 0 and deviation 1 within each slate: what a score of one slate and of another have in common."""

from typing import Final

import numpy as np
import numpy.typing as npt

SAME: Final = 1e-6  # deviation over mean: what float32 leaves uncertain in a sum of some hundred products

EQUAL: Final = 1e-9  # deviation up to which a row's scores are the same

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


def standardise_rows(scores: npt.NDArray[np.floating], known: npt.NDArray[np.bool_]) -> Values:
    """Each row's known scores at mean 0 and deviation 1, float64 [q, k]; the others 0, and all of a row of equal ones.

    >>> standardise_rows(np.array([[1.0, 3.0, np.nan]]), np.array([[True, True, False]])).tolist()
    [[-1.0, 1.0, 0.0]]
    """
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    filled = np.where(known, scores, 0).astype(np.float64)
    centred = np.where(known, filled - filled.sum(axis=1, keepdims=True) / count, 0)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > EQUAL))
