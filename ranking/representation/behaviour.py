"""Behaviour as a modality: what the audiences of two items share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.representation.inputs import Masked, has_content, unit_rows
from ranking.types import Floats, IdIndex, Interactions

HEAD: Final = "behaviour"

FACTORS: Final = 128  # predicted from content, NDCG@10 among new films of ml-latest-small .218; 64: .210, 256: .220
# Exponents of the damping, chosen by NDCG@10 among new films when a ridge predicts them from content, two random
# splits of ml-latest-small (.228, .282; no damping .222, .270; iALS factors .215, .265).
USER_DAMPING: Final = 0.5
ITEM_DAMPING: Final = 0.25
STRENGTH: Final = 0.5


def positives(train: Interactions) -> sparse.csr_matrix:
    """Users x items, float32, 1 where the user has a positive interaction with the item."""
    liked = train.where(train.positive).matrix()
    liked.data[:] = 1
    return liked


def item_factors(liked: sparse.csr_matrix, dim: int = FACTORS) -> Floats:
    """What the items' audiences share: float32 [items, dim], rows of 0 for items that nobody likes.

    PureSVD (Cremonesi et al. 2010): right singular vectors of users x items, here after damping active users and
    popular items, and scaled by the root of the singular values. A user is the sum of the items in the history. With
    fewer users or items than `dim` the last columns are 0.
    """
    factors = np.zeros((liked.shape[1], dim), np.float32)
    k = min(dim, *(side - 1 for side in liked.shape))
    if k > 0 and liked.nnz:
        damped = _damping(liked.sum(1), USER_DAMPING) @ liked @ _damping(liked.sum(0), ITEM_DAMPING)
        start = np.ones(min(liked.shape), np.float32)  # given, so that the result is the same each time
        _, strength, right = svds(damped, k=k, v0=start)
        factors[:, :k] = (np.maximum(strength, 0)[:, None] ** STRENGTH * right)[::-1].T
    return factors


def audience_cosines(likers: sparse.csc_matrix) -> Floats:
    """Cosines of items' audiences, float32 [n, n]; 0 for items that nobody likes. likers: users x items, 0 or 1."""
    together = np.asarray((likers.T @ likers).toarray(), np.float32)
    size = np.sqrt(np.maximum(together.diagonal(), 1))
    return np.asarray(together / size / size[:, None], np.float32)


@dataclass(frozen=True)
class Audiences:
    """What is known of items by who likes them: float32 [n, dim], unit rows, 0 for items that nobody liked."""

    items: IdIndex
    factors: Floats

    @classmethod
    def fit(cls, items: IdIndex, liked: sparse.csr_matrix) -> Self:
        """Of the likes of a training part, users x items."""
        return cls(items, unit_rows(item_factors(liked)))

    def of(self, items: IdIndex) -> Masked:
        """The inputs of a head for any items; those that nobody had liked lack the modality."""
        codes = self.items.codes(items.ids)
        values = np.where((codes >= 0)[:, None], self.factors[codes], 0).astype(np.float32)
        return Masked(values, has_content(values))

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_arrays(folder / "audiences.safetensors", {"factors": self.factors})
        save_as(folder / "audiences.json", self.items.ids, tuple[str, ...])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        factors = load_arrays(folder / "audiences.safetensors")["factors"].astype(np.float32, copy=False)
        return cls(IdIndex(load_as(folder / "audiences.json", tuple[str, ...])), factors)


def _damping(counts: np.matrix, exponent: float) -> sparse.dia_matrix:
    return sparse.diags(np.maximum(np.asarray(counts, np.float32).ravel(), 1) ** -exponent)
