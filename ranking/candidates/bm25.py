"""Item-item nearest neighbours in which a user of few items says more than one of many."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from implicit.nearest_neighbours import bm25_weight
from scipy import sparse

from ranking.candidates.history import Memory, binary
from ranking.candidates.neighbours import Neighbours, strongest_speakers
from ranking.types import Interactions


@dataclass(frozen=True)
class Bm25Config:
    """Hyper-parameters of `Bm25`.

    k1: how soon the length of an item's list of users wears off. b: 1 normalises fully by that length, 0 not at all.
    neighbours: how many most similar items speak for an item.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    k1: float = 1.2
    b: float = 0.75
    neighbours: int = 200
    memory: Memory = field(default_factory=Memory)


class Bm25(Neighbours[Bm25Config]):
    """Item-kNN over the BM25 weights of `implicit` (Robertson and Zaragoza 2009; items are documents, users terms).

    similarity(i, j) = sum over users u of w_iu w_ju, where w_iu = idf(u) (k1 + 1) / (k1 (1 - b + b |i| / mean) + 1),
    idf(u) = ln(items) - ln(1 + items of u), |i| = users of i. Similarities below 0 do not count.
    """

    name: ClassVar[str] = "bm25"
    kind: ClassVar[type[object]] = Bm25Config

    @property
    def memory(self) -> Memory:
        """What of a query's history counts."""
        return self.config.memory

    def neighbours(self, train: Interactions) -> sparse.csr_matrix:
        """Products of BM25 weights."""
        by_item = binary(self.config.memory.training(train)).T.tocsr()
        if by_item.nnz:  # the library divides by the mean length
            weighted = bm25_weight(by_item, K1=self.config.k1, B=self.config.b)
            by_item = sparse.csr_matrix(weighted, dtype=np.float32)
        by_user = by_item.T.tocsr()

        def products(start: int, stop: int) -> sparse.csr_matrix:
            return sparse.csr_matrix(by_item[start:stop] @ by_user)

        return strongest_speakers(products, len(train.items), self.config.neighbours)
