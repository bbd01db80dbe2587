"""Values of mean 0 and deviation 1 within each slate: what a score of one slate and of another have in common."""

from typing import Final, TypeVar

import numba
import numpy as np
import numpy.typing as npt

SAME: Final = 1e-6  # deviation over mean: what float32 leaves uncertain in a sum of some hundred products

EQUAL: Final = 1e-9  # deviation up to which a row's scores are the same

Values = npt.NDArray[np.float64]
Real = TypeVar("Real", np.float32, np.float64)


def standardise(scores: npt.NDArray[Real], groups: npt.NDArray[np.int64]) -> npt.NDArray[Real]:
    """Zero mean and unit variance within each slate; what is equal in a slate to within `SAME` becomes zeros.

    scores: float32 or float64 [n] or [n, c], each column by itself; NaN counts as 0 and stays NaN. groups: int64 [q],
    rows of each slate, one after the other.

    >>> standardise(np.array([1.0, 3.0, 5.0, 5.0]), np.array([2, 2]))
    array([-1.,  1.,  0.,  0.])
    """
    columns = np.ascontiguousarray(scores[:, None] if scores.ndim == 1 else scores)
    return np.asarray(_standardised(columns, groups, True, 1e-12).reshape(scores.shape), scores.dtype)


def standardise_known(values: npt.NDArray[Real], groups: npt.NDArray[np.int64]) -> npt.NDArray[Real]:
    """The same of columns [n, c], where NaN does not count and becomes 0.

    >>> standardise_known(np.array([[1.0], [3.0], [np.nan], [5.0]]), np.array([3, 1])).ravel().tolist()
    [-1.0, 1.0, 0.0, 0.0]
    """
    return np.asarray(_standardised(np.ascontiguousarray(values), groups, False, 1e-9), values.dtype)


@numba.njit(cache=True, nogil=True)
def _standardised(
    scores: npt.NDArray[np.floating], groups: npt.NDArray[np.int64], counts_missing: bool, least: float
) -> npt.NDArray[np.floating]:
    """Columns [n, c] with sums in float64. counts_missing: NaN as 0, and keeps it. least: deviation of what differs."""
    placed = np.empty_like(scores)
    width = scores.shape[1]
    count, mean, filling, scale = np.empty(width), np.empty(width), np.zeros(width), np.empty(width)
    stop = 0
    for size in groups:
        start, stop = stop, stop + size
        count[:], mean[:], scale[:] = size if counts_missing else 0, 0, 0
        for row in range(start, stop):
            line = scores[row]
            for column in range(width):
                known = line[column] == line[column]
                count[column] += 0.0 if counts_missing else np.float64(known)
                mean[column] += np.float64(line[column]) if known else 0.0
        for column in range(width):
            count[column] = max(count[column], 1.0)
            mean[column] /= count[column]
            filling[column] = -mean[column] if counts_missing else 0.0
        for row in range(start, stop):
            line = scores[row]
            for column in range(width):
                apart = line[column] - mean[column]
                apart = apart if apart == apart else filling[column]
                scale[column] += apart * apart
        for column in range(width):
            deviation = np.sqrt(scale[column] / count[column])
            scale[column] = 1 / deviation if deviation > max(least, SAME * abs(mean[column])) else 0.0
        for row in range(start, stop):
            line, found = scores[row], placed[row]
            for column in range(width):
                apart = (line[column] - mean[column]) * scale[column]
                found[column] = apart if counts_missing or apart == apart else 0.0
    return placed


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
