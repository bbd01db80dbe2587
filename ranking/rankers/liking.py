"""Whether what is met will be liked: generators foretell that an item is chosen, here is told how it will please."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import linalg

from ranking.artifacts import load_arrays, save_arrays
from ranking.candidates.products import products
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.ratings import Rated, biases
from ranking.types import Bools, Codes, Floats, Interactions, Queries

FACTORS: Final = 20
PRIOR: Final = 10.0  # items and users start as if so many average events had come before

_PARTS: Final = dict.fromkeys(("liking_item", "liking_user", "liking_fit", "liking"), Part.BEHAVIOUR)


@dataclass(frozen=True)
class Liking:
    """Biases of users and items (Koren 2009) and PureSVD (Cremonesi, Koren, Turrin 2010) of what they leave over.

    An event is worth 1 if it is positive, else 0. mean: of all events. item: float32 [n], how much more an item is
    liked than the users who met it like others. factors: float32 [n, f], orthogonal; what the biases leave over of a
    history, summed over its items' factors, times an item's factors is how much better that item fits this user.
    """

    mean: float
    item: Floats
    factors: Floats

    @classmethod
    def fit(cls, train: Interactions) -> Self:
        """From events; all values are 0 where every event, or none, is positive."""
        n_items, n_users = len(train.items), len(train.users)
        mean = float(train.positive.mean()) if len(train) else 0.0
        met = Rated(train.user, train.item, (train.positive - mean).astype(np.float64), n_users, n_items)
        user, item = biases(met, met.value, user_prior=PRIOR, item_prior=PRIOR)
        unexplained = met.value - item[train.item] - user[train.user]
        matrix = sparse.csr_matrix((unexplained, (train.user, train.item)), shape=(n_users, n_items))
        return cls(mean, item.astype(np.float32), _right_factors(matrix))

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> FeatureMatrix:
        """Columns for candidates: the item's bias, the user's, how both fit, and the sum with the mean."""
        history = queries.indptr, queries.item, queries.positive
        user, taste = _told_by(*history, self.mean, self.item, self.factors)
        values = np.empty((len(item), len(_PARTS)), np.float32)
        values[:, 0], values[:, 1] = self.item[item], user[row]
        values[:, 2] = products(self.factors, taste, row, item)[:, 0]
        values[:, 3] = np.float32(self.mean) + values[:, 0] + values[:, 1] + values[:, 2]
        return FeatureMatrix(tuple(_PARTS), values, _PARTS)

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        arrays = {"mean": np.array([self.mean]), "item": self.item, "factors": self.factors}
        save_arrays(folder / "liking.safetensors", arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "liking.safetensors")
        item, factors = (arrays[name].astype(np.float32, copy=False) for name in ("item", "factors"))
        return cls(float(arrays["mean"][0]), item, factors)


@numba.njit(cache=True, nogil=True)
def _told_by(
    indptr: npt.NDArray[np.int64], item: Codes, positive: Bools, mean: float, bias: Floats, factors: Floats
) -> tuple[Floats, Floats]:
    """The biases of histories, float32 [q], and what these leave over, summed over the items' factors, [q, 1, f]."""
    user = np.zeros(len(indptr) - 1, np.float32)
    taste = np.zeros((len(user), 1, factors.shape[1]), np.float32)
    for row in range(len(user)):
        left = 0.0
        for event in range(indptr[row], indptr[row + 1]):
            left += positive[event] - mean - bias[item[event]]
        its_bias = left / (indptr[row + 1] - indptr[row] + PRIOR)
        for event in range(indptr[row], indptr[row + 1]):
            unexplained = np.float32(positive[event] - mean - bias[item[event]] - its_bias)
            taste[row, 0] += unexplained * factors[item[event]]
        user[row] = its_bias
    return user, taste


def _right_factors(matrix: sparse.csr_matrix) -> Floats:
    """Right singular vectors of the largest singular values, float32 [n, f]; of fewer values where there are fewer."""
    n_items = matrix.shape[1]
    count = min(FACTORS, min(matrix.shape) - 1)
    if count < 1 or not np.any(np.abs(matrix.data) > 1e-9):
        return np.zeros((n_items, 1), np.float32)
    _, size, vectors = linalg.svds(matrix, k=count, random_state=0)
    return np.ascontiguousarray(vectors[size > 1e-9].T, np.float32)
