"""What models have in common whose fitted state is a sparse matrix of items that speak for items."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final, Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.generator import ItemToItem, Places, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.speakers import Speakers
from ranking.candidates.state import load_state, pack, save_state
from ranking.kernels import largest_entries
from ranking.types import Bools, Codes, Floats, Interactions, Queries

BLOCK: Final = 512  # items whose values towards all others are in memory at one time

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
        self._neighbours = Speakers(self.neighbours(train))
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores in units of the matrix times event weight."""
        scores = self._neighbours.heard(queries, self.memory.profiles)
        return offer_only(scores > 0, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        scores = self._neighbours.heard(queries, self.memory.profiles)[:, items]
        return offer_only(scores > 0, scores)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Neighbours of the history's items."""
        return self._neighbours.first(query, self.memory.profiles, offered, k)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of the matrix."""
        return self._neighbours.between(sources, targets)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, pack("neighbours", self._neighbours.matrix))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, cls.kind)
        model = cls(config)  # type: ignore[arg-type]  # kind is Config's type, which no annotation can say of a class
        model._neighbours = Speakers(state.matrix("neighbours"))
        return model


def strongest_speakers(block: Callable[[int, int], sparse.csr_matrix], n_items: int, k: int) -> sparse.csr_matrix:
    """Each item's k speakers of highest positive value, ties by item code: float32 [speakers, items], diagonal 0.

    block: for a start and a stop, the values float32 [stop - start, n_items] that all items have for these.
    """
    parts = [sparse.csr_matrix(np.zeros((0, n_items), np.float32))]
    for start in range(0, n_items, BLOCK):
        values = block(start, min(start + BLOCK, n_items))
        values.data[values.indices == rows_of(values) + start] = 0  # no item speaks for itself
        parts.append(strongest(values, k))
    return sparse.csr_matrix(sparse.vstack(parts).T)


def strongest(values: sparse.csr_matrix, k: int) -> sparse.csr_matrix:
    """Each row's k largest positive values, ties by column."""
    values.sort_indices()
    entry = largest_entries(values.indptr, values.data.astype(np.float32, copy=False), k)
    row, _ = np.nonzero(entry >= 0)
    entry = entry[entry >= 0]
    return sparse.csr_matrix((values.data[entry], (row, values.indices[entry])), shape=values.shape)


def rows_of(matrix: sparse.csr_matrix) -> npt.NDArray[np.int64]:
    """The row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
