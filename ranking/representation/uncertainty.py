"""How little does content say about who will like an item? The variance of the Gaussian process behind the ridge.

Kernel ridge regression with shrinkage s is the mean of a Gaussian process with noise variance s (Rasmussen & Williams
2006, eq. 2.25), whose variance at x is k(x, x) - k' (K + s I)^-1 k (eq. 2.26); k holds the kernel of x with the items
learned from, K that of these with each other. It depends on content alone, not on what was liked.

The process is a sum of one function a head. Of a head that an item lacks nothing is known: its function keeps its whole
prior variance and tells nothing about other items. So variances of items with different heads can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_factor, cho_solve

from ranking.representation.inputs import Masked
from ranking.representation.kernels import CONSTANT, kernel
from ranking.types import Codes, Floats

BATCH: Final = 4096  # items asked at one time


@dataclass(frozen=True)
class ContentProcess:
    """What the process has learned from.

    rows: head -> one row an item that can be asked for. taught: int32 [m], ascending, places of those learned from.
    inverse: (K + s I)^-1, float32 [m, m].
    """

    rows: Mapping[str, Masked]
    taught: Codes
    inverse: Floats

    @classmethod
    def fit(cls, rows: Mapping[str, Masked], taught: Codes, strength: float) -> Self:
        """rows: at least one head. strength: the ridge's shrinkage, which is the variance of the noise."""
        known = {head: one.rows(taught) for head, one in rows.items()}
        gram = kernel(known, known)
        gram[np.diag_indices(len(taught))] = prior_variance(rows) + strength
        whole = np.eye(len(taught), dtype=np.float32)
        return cls(rows, taught, np.asarray(cho_solve(cho_factor(gram, lower=True, overwrite_a=True), whole)))

    def uncertainty(self, *, without: str | None = None) -> Floats:
        """Variance of each item as a share of the prior one, float32 [n]: 1 where nothing is known, 0 where all is.

        An item that was learned from is asked as if it had not been. without: a head that every asked item lacks.
        """
        n = len(next(iter(self.rows.values())).present)
        place = np.full(n, -1)
        place[self.taught] = np.arange(len(self.taught))
        explained = np.empty(n, np.float32)
        for start in range(0, n, BATCH):
            asked = np.arange(start, min(start + BATCH, n))
            explained[asked] = self._explained(asked, place[asked], without)
        return np.asarray(np.clip(1 - explained / prior_variance(self.rows), 0, 1), np.float32)

    def _explained(self, asked: npt.NDArray[np.int64], own: npt.NDArray[np.int64], without: str | None) -> Floats:
        """The term k' (K + s I)^-1 k with each item's own row and column, at place `own` or -1, left out of K."""
        heads = [head for head in self.rows if head != without]
        left = {head: self.rows[head].rows(asked) for head in heads}
        right = {head: self.rows[head].rows(self.taught) for head in heads}
        shared = kernel(left, right) if heads else np.full((len(asked), len(self.taught)), CONSTANT, np.float32)
        itself = np.flatnonzero(own >= 0)
        shared[itself, own[itself]] = 0
        solved = shared @ self.inverse
        explained = np.einsum("nm,nm->n", shared, solved)
        # the inverse without a row and a column (Rasmussen & Williams 2006, section 5.4.2)
        explained[itself] -= solved[itself, own[itself]] ** 2 / self.inverse[own[itself], own[itself]]
        return np.asarray(explained, np.float32)


def prior_variance(rows: Mapping[str, Masked]) -> float:
    """Kernel of an item with itself, before anything is known of it."""
    return CONSTANT + len(rows)
