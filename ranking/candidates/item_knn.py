"""Item-item nearest neighbours by who interacted with both."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from scipy import sparse

from ranking.candidates.generator import ItemToItem, offer_only, top_k
from ranking.candidates.history import Memory, binary
from ranking.candidates.state import load_state, pack, save_state
from ranking.types import Codes, Floats, Interactions, Queries

BLOCK: Final = 512  # items whose similarities to all others are dense at one time


@dataclass(frozen=True)
class ItemKnnConfig:
    """Hyper-parameters of `ItemKnn`.

    neighbours: how many most similar items speak for an item.
    shrink: added to the cosine's denominator, so that a few shared users are no evidence.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    neighbours: int = 200
    shrink: float = 0.0
    memory: Memory = field(default_factory=Memory)


class ItemKnn(ItemToItem):
    """Item-based top-N recommendation with cosine similarity (Deshpande and Karypis 2004).

    An item's score is the sum, over those of its neighbours that the profile holds, of similarity times the profile's
    value; similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrink). Items without a neighbour in
    the history are not offered.
    """

    name: ClassVar[str] = "item_knn"

    def __init__(self, config: ItemKnnConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        x = binary(self.config.memory.training(train))
        users_of = np.sqrt(np.asarray(x.sum(axis=0)).ravel())
        transposed = x.T.tocsr()
        blocks = []
        for start in range(0, x.shape[1], BLOCK):
            shared = (transposed[start : start + BLOCK] @ x).toarray()
            rows = np.arange(len(shared))
            shared[rows, start + rows] = 0  # no item speaks for itself
            length = np.outer(users_of[start : start + BLOCK], users_of) + self.config.shrink
            blocks.append(_strongest(shared / np.maximum(length, 1e-9), self.config.neighbours))
        self._neighbours = sparse.csr_matrix(sparse.vstack(blocks).T)  # rows: the item that speaks
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores in units of cosine times event weight."""
        scores = (self.config.memory.profiles(queries) @ self._neighbours).toarray()
        return offer_only(scores > 0, scores)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Cosines of neighbours."""
        return np.asarray(self._neighbours[sources][:, targets].toarray())

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, pack("neighbours", self._neighbours))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, ItemKnnConfig)
        model = cls(config)
        model._neighbours = state.matrix("neighbours")
        return model


def _strongest(similarity: Floats, k: int) -> sparse.csr_matrix:
    """Each row's k largest positive values."""
    codes, values = top_k(similarity, k)
    row = np.repeat(np.arange(len(codes)), codes.shape[1])
    strongest = sparse.csr_matrix((values.ravel(), (row, codes.ravel())), shape=similarity.shape)
    strongest.eliminate_zeros()
    return strongest
