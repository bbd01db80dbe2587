"""Behaviour as a modality: what the audiences of two items share, and a ridge that foretells it from content alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from ranking.artifacts import load_arrays, save_arrays
from ranking.errors import ArtifactError
from ranking.representation.inputs import Inputs, Masked, has_content
from ranking.types import Floats, Interactions, ItemContent

FACTORS: Final = 64
# Exponents of the damping, and the ridge's strength: chosen by NDCG@10 among new films, two random splits of
# ml-latest-small (.228, .282; no damping .222, .270; iALS factors .215, .265; strength 30 instead of 10: .229, .270).
USER_DAMPING: Final = 0.5
ITEM_DAMPING: Final = 0.25
STRENGTH: Final = 0.5
RIDGE: Final = 10.0
CONSTANT: Final = 0.3  # the ridge's intercept column: small, so that it is shrunk with the rest


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


def _damping(counts: np.matrix, exponent: float) -> sparse.dia_matrix:
    return sparse.diags(np.maximum(np.asarray(counts, np.float32).ravel(), 1) ** -exponent)


@dataclass(frozen=True)
class ContentToBehaviour:
    """A ridge from content to `item_factors`: the closed-form companion of the alignment, for items without events.

    factors: float32 [n, dim], of the items of the fit. weights: float32 [widths of all heads + 1, dim].
    """

    inputs: Inputs
    factors: Floats
    weights: Floats

    @classmethod
    def fit(cls, content: ItemContent, train: Interactions) -> "ContentToBehaviour":
        """Learn from the positives of `train` alone; `content` is of the same items in the same order."""
        liked = positives(train)
        warm = np.asarray(liked.sum(0)).ravel() > 0
        inputs = Inputs.fit(content, warm)
        factors = item_factors(liked)
        rows = _columns(inputs.of(content), len(warm))[warm]
        gram = rows.T @ rows + RIDGE * np.eye(rows.shape[1], dtype=np.float32)
        return cls(inputs, factors, np.linalg.solve(gram, rows.T @ factors[warm]))

    def item_vectors(self, content: ItemContent) -> Floats:
        """Factors as content foretells them, float32 [n, dim], not normalised; of any items."""
        foretold: Floats = _columns(self.inputs.of(content), len(content.items)) @ self.weights
        return foretold

    def history_vectors(self, content: ItemContent) -> Floats:
        """The factors of the fit's items, foretold where nobody liked them yet: what a user's history sums up."""
        known = has_content(self.factors)[:, None]
        return np.where(known, self.factors, self.item_vectors(content))

    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing, empty folder."""
        self.inputs.save(folder)
        save_arrays(folder / "ridge.safetensors", {"factors": self.factors, "weights": self.weights})

    @classmethod
    def load(cls, folder: Path) -> "ContentToBehaviour":
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        arrays = load_arrays(folder / "ridge.safetensors")
        try:
            return cls(Inputs.load(folder), arrays["factors"].astype(np.float32), arrays["weights"].astype(np.float32))
        except KeyError as error:
            raise ArtifactError(f"{folder}: ridge.safetensors lacks {error}; build the release again") from error


def _columns(inputs: Mapping[str, Masked], n: int) -> Floats:
    """All heads' inputs side by side, 0 where missing, and a constant."""
    return np.hstack([*(one.values for one in inputs.values()), np.full((n, 1), CONSTANT, np.float32)])
