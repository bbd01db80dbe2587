"""What models have in common whose fitted state is a sparse matrix of items that speak for items."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Generic, Self, TypeVar

import numpy as np
from scipy import sparse

from ranking.candidates.generator import ItemToItem, offer_only, top_k
from ranking.candidates.history import Memory
from ranking.candidates.state import load_state, pack, save_state
from ranking.profiles import block
from ranking.types import Codes, Floats, Interactions, Queries

BLOCK: Final = 512  # items whose values towards all others are dense at one time

Config = TypeVar("Config")


class Neighbours(ItemToItem, Generic[Config]):
    """An item's score is the sum, over the profile's items, of the profile's value times what that item says.

    Values are not negative; items of which no one in the history says anything are not offered.
    """

    kind: ClassVar[type[object]]  # of the config, which load reads

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    @abstractmethod
    def memory(self) -> Memory:
        """What of a query's history counts."""

    @abstractmethod
    def neighbours(self, train: Interactions) -> sparse.csr_matrix:
        """What each row's item says of each column's item, float32 [n_items, n_items], diagonal 0."""

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        self._neighbours = self.neighbours(train)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores in units of the matrix times event weight."""
        scores = self.memory.profiles(queries).through(self._neighbours)
        return offer_only(scores > 0, scores)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of the matrix."""
        return block(self._neighbours, sources, targets)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, pack("neighbours", self._neighbours))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, cls.kind)
        model = cls(config)  # type: ignore[arg-type]  # kind is Config's type, which no annotation can say of a class
        model._neighbours = state.matrix("neighbours")
        return model


def strongest_speakers(block: Callable[[int, int], Floats], n_items: int, k: int) -> sparse.csr_matrix:
    """Each item's k speakers of highest positive value, ties by item code: float32 [speakers, items], diagonal 0.

    block: for a start and a stop, the values float32 [stop - start, n_items] that all items have for these.
    """
    parts = [sparse.csr_matrix(np.zeros((0, n_items), np.float32))]
    for start in range(0, n_items, BLOCK):
        stop = min(start + BLOCK, n_items)
        values = block(start, stop)
        values[np.arange(stop - start), np.arange(start, stop)] = 0  # no item speaks for itself
        parts.append(strongest(values, k))
    return sparse.csr_matrix(sparse.vstack(parts).T)


def strongest(values: Floats, k: int) -> sparse.csr_matrix:
    """Each row's k largest positive values, ties by column."""
    codes, best = top_k(values, k)
    row = np.repeat(np.arange(len(codes)), codes.shape[1])
    kept = sparse.csr_matrix((np.maximum(best, 0).ravel(), (row, codes.ravel())), shape=values.shape)
    kept.eliminate_zeros()
    return kept
