"""Numbers that tell good vectors from collapsed, repeated, parted or drifted ones; NumPy alone."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]
Doubles: TypeAlias = npt.NDArray[np.float64]

RANK_ROWS: Final = 1000  # rows that tell the effective rank
PROJECTIONS: Final = 16
BINS: Final = 10
BLOCK: Final = 1024  # rows that are hashed at once


def effective_rank(vectors: Floats) -> float:
    """How many directions the centred rows use: exp of the entropy of the covariance's normalised eigenvalues.

    vectors: float32 [n, d], n at least 2. Roy and Vetterli 2007, with eigenvalues in place of singular values. 0 if all
    rows are one. Of more than 1,000 rows, evenly spaced ones are taken.

    >>> round(effective_rank(np.eye(8, dtype=np.float32)), 3)
    7.0
    """
    sample = vectors[evenly_spaced(len(vectors), RANK_ROWS)]
    centred = (sample - sample.mean(axis=0)).astype(np.float64)
    tall = len(centred) >= centred.shape[1]
    spectrum = np.linalg.eigvalsh(centred.T @ centred if tall else centred @ centred.T)
    spectrum = spectrum[spectrum > 1e-12 * len(centred)]
    if not len(spectrum):
        return 0.0
    share = spectrum / spectrum.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def mean_pairwise_cosine(unit: Floats) -> float:
    """Mean cosine of two different rows, over all pairs; unit: float32 [n, d], rows of length 1, n at least 2.

    The sum over all pairs is the squared length of the sum of the rows, so no pair is formed.

    >>> round(mean_pairwise_cosine(np.array([[1, 0], [1, 0], [0, 1]], np.float32)), 4)
    0.3333
    """
    n = len(unit)
    total = unit.sum(axis=0, dtype=np.float64)
    return float((total @ total - n) / (n * (n - 1)))


def duplicate_share(vectors: Floats) -> float:
    """Share of the rows that are the most frequent one; 0 where no row stands twice.

    vectors: float32 [n, d]. Only equal numbers count. The most frequent row tells a placeholder picture of many items
    from the covers of albums, which every song of an album rightly shares. Rows are compared by a hash of 64 bits, so
    that a large table is not copied.

    >>> duplicate_share(np.array([[1, 2], [1, 2], [3, 4], [5, 6]], np.float32))
    0.5
    """
    if not len(vectors):
        return 0.0
    factors = np.random.default_rng(0).integers(0, 2**64, vectors.shape[1], np.uint64) | np.uint64(1)
    keys = np.empty(len(vectors), np.uint64)
    for start in range(0, len(vectors), BLOCK):
        block = np.ascontiguousarray(vectors[start : start + BLOCK] + np.float32(0))  # -0 becomes 0
        bits = block.view(np.uint32).astype(np.uint64)
        keys[start : start + BLOCK] = (bits * factors).sum(axis=1, dtype=np.uint64)  # wraps around
    _, counts = np.unique(keys, return_counts=True)
    most = int(counts.max())
    return most / len(keys) if most > 1 else 0.0


def modality_gap(one: Floats, other: Floats) -> float:
    """Distance of the centroids of two modalities' unit rows in one space, 0 to 2 (Liang et al. 2022, section 2.1).

    one, other: float32 [n, d] and [m, d], n and m at least 1; the rows need not be of the same items.
    """
    return float(np.linalg.norm(one.mean(axis=0, dtype=np.float64) - other.mean(axis=0, dtype=np.float64)))


def projected(vectors: Floats) -> Doubles:
    """Rows on 16 directions that depend on d alone: float64 [n, 16] of float32 [n, d].

    The directions are drawn on the sphere with a fixed seed, so that releases can be compared.
    """
    directions = np.random.default_rng(vectors.shape[1]).normal(size=(vectors.shape[1], PROJECTIONS))
    return np.asarray(vectors @ (directions / np.linalg.norm(directions, axis=0)), np.float64)


def psi(before: Doubles, now: Doubles) -> float:
    """Population stability index of numbers [m] against the numbers [n] of before (Siddiqi 2006).

    Sum over the ten bins between deciles of `before` of (q - p) ln(q / p), p and q the shares of before and now, each
    bin counted half an item fuller than it is. By custom, below .1 nothing has changed, above .25 much has. Two samples
    of one distribution have about 9 (1 / n + 1 / m).
    """
    edges = np.quantile(before, np.arange(1, BINS) / BINS)
    p, q = (_shares(np.searchsorted(edges, numbers, side="right")) for numbers in (before, now))
    return float(((q - p) * np.log(q / p)).sum())


def _shares(bins: npt.NDArray[np.int64]) -> Doubles:
    counts = np.bincount(bins, minlength=BINS) + 0.5
    return np.asarray(counts / counts.sum())


def ks(before: Doubles, now: Doubles) -> float:
    """Kolmogorov-Smirnov statistic of two samples: the largest distance of their distribution functions, 0 to 1."""
    values = np.concatenate([before, now])
    of_before, of_now = (
        np.searchsorted(np.sort(numbers), values, side="right") / len(numbers) for numbers in (before, now)
    )
    return float(np.abs(of_before - of_now).max())


def evenly_spaced(n: int, most: int) -> npt.NDArray[np.int64]:
    """At most so many of n row numbers, ascending, over the whole range."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)
