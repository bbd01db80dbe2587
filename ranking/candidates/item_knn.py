"""Item-item nearest neighbours by who interacted with both."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from scipy import sparse

from ranking.candidates.history import Memory, binary
from ranking.candidates.neighbours import Neighbours, rows_of, strongest_speakers
from ranking.types import Interactions


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


class ItemKnn(Neighbours[ItemKnnConfig]):
    """Item-based top-N recommendation with cosine similarity (Deshpande and Karypis 2004).

    An item's score is the sum, over those of its neighbours that the profile holds, of similarity times the profile's
    value; similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrink). Items without a neighbour in
    the history are not offered.
    """

    name: ClassVar[str] = "item_knn"
    kind: ClassVar[type[object]] = ItemKnnConfig

    @property
    def memory(self) -> Memory:
        """What of a query's history counts."""
        return self.config.memory

    def neighbours(self, train: Interactions) -> sparse.csr_matrix:
        """Cosines."""
        x = binary(self.config.memory.training(train))
        transposed, length = x.T.tocsr(), np.sqrt(np.asarray(x.sum(axis=0)).ravel())

        def cosines(start: int, stop: int) -> sparse.csr_matrix:
            shared = sparse.csr_matrix(transposed[start:stop] @ x)
            longest = length[start + rows_of(shared)] * length[shared.indices] + np.float32(self.config.shrink)
            shared.data /= np.maximum(longest, np.float32(1e-9))
            return shared

        return strongest_speakers(cosines, x.shape[1], self.config.neighbours)
