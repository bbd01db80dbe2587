"""Canonical correlation analysis: two modalities of the same items in one space, in closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ranking.representation.inputs import unit_rows
from ranking.types import Floats

RANKS: Final = (16, 32, 64, 128)  # 16 is best in the planted world, 64 for posters and plots
SHRINKAGES: Final = (1.0, 3.0, 10.0)  # times the mean variance of a coordinate


@dataclass(frozen=True)
class Cca:
    """Axes of both sides, float32 [d_left, rank] and [d_right, rank], each scaled by its canonical correlation.

    Hotelling 1936; both covariances are shrunk towards a multiple of the identity (Vinod 1976). Sides are centred.
    """

    left: Floats
    right: Floats

    @classmethod
    def fit(cls, left: Floats, right: Floats, *, rank: int, shrinkage: float) -> Self:
        """Of float32 [n, d_left] and [n, d_right], row i of both is one item; the rank is at most the shorter width."""
        return next(one for _, one in cls.grid(left, right, ranks=(rank,), shrinkages=(shrinkage,)))

    @classmethod
    def grid(
        cls,
        left: Floats,
        right: Floats,
        *,
        ranks: tuple[int, ...] = RANKS,
        shrinkages: tuple[float, ...] = SHRINKAGES,
    ) -> Iterator[tuple[tuple[int, float], Self]]:
        """The fits of every rank and shrinkage; covariances and decompositions are shared between them."""
        spectra = [np.linalg.eigh(side.T @ side / len(side)) for side in (left, right)]
        across = left.T @ right / len(left)
        for shrinkage in shrinkages:
            roots = [_inverse_root(values, vectors, shrinkage) for values, vectors in spectra]
            one, correlations, other = np.linalg.svd(roots[0] @ across @ roots[1], full_matrices=False)
            for rank in ranks:
                axes = roots[0] @ one[:, :rank], roots[1] @ other[:rank].T
                scaled = (np.asarray(side * correlations[:rank], np.float32) for side in axes)
                yield (rank, shrinkage), cls(*scaled)

    def project(self, left: Floats, right: Floats) -> tuple[Floats, Floats]:
        """Both sides in the common space, unit rows; rows of zeros stay."""
        return unit_rows(left @ self.left), unit_rows(right @ self.right)


def tuned(left: Floats, right: Floats, *, seed: int = 0) -> tuple[int, float]:
    """Rank and shrinkage by which most rows find their other side, in three random fifths that are hidden in turn."""
    found: dict[tuple[int, float], float] = {}
    for hidden in np.array_split(np.random.default_rng(seed).permutation(len(left)), 5)[:3]:
        known = np.setdiff1d(np.arange(len(left)), hidden)
        for setting, one in Cca.grid(left[known], right[known]):
            recall = mean_recall(*one.project(left[hidden], right[hidden]))
            found[setting] = found.get(setting, 0.0) + recall
    return max(found, key=lambda setting: found[setting])


def ranks(asked: Floats, offered: Floats) -> np.ndarray:
    """Place of each row's own among the offered rows by inner product, int64 [n], from 1; a tie counts against it."""
    similarity = asked @ offered.T
    return np.asarray((similarity >= similarity.diagonal()[:, None]).sum(axis=1))


def mean_recall(left: Floats, right: Floats, *, depth: int = 10) -> float:
    """Share of rows whose own is among the `depth` most similar ones of the other side, mean of both ways."""
    return float(np.mean([(ranks(*sides) <= depth).mean() for sides in ((left, right), (right, left))]))


def _inverse_root(values: Floats, vectors: Floats, shrinkage: float) -> Floats:
    shrunk = np.maximum(values, 0) + shrinkage * values.mean()
    return np.asarray((vectors / np.sqrt(shrunk)) @ vectors.T, np.float32)
