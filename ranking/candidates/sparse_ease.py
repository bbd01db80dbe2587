"""EASE for large catalogues: each item's weights are solved among its nearest items alone."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from scipy import sparse

from ranking.candidates.generator import ItemToItem, Places, offer_only
from ranking.candidates.history import Memory, binary
from ranking.candidates.neighbours import rows_of
from ranking.candidates.speakers import Speakers
from ranking.candidates.state import load_state, pack, save_state
from ranking.candidates.threads import one_blas_thread
from ranking.kernels import largest_entries
from ranking.types import Bools, Codes, Floats, Interactions, Queries

BLOCK: Final = 256  # items solved at one time: 256 x 100 x 100 x 8 bytes = 20 MB


@dataclass(frozen=True)
class SparseEaseConfig:
    """Hyper-parameters of `SparseEase`.

    neighbours: items that may speak for an item. l2: regularisation in events.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    neighbours: int = 100
    l2: float = 300.0
    memory: Memory = field(default_factory=Memory)


class SparseEase(ItemToItem):
    """A column of EASE's B is the ridge regression of its item on all others (Steck 2019); here on its nearest ones.

    Nearest by cosine of their users. Exact where every item that ever co-occurs is among the neighbours, else what is
    left out counts as 0, and the others are solved as if it were not there. Memory grows with items times neighbours
    instead of items squared. On ml-latest-small 100 neighbours keep what docs/evaluation.md says.
    """

    name: ClassVar[str] = "ease_sparse"

    def __init__(self, config: SparseEaseConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        x = binary(self.config.memory.training(train)).tocsc()
        users_of = np.asarray(x.sum(axis=0), np.float32).ravel()
        self._known: Bools = users_of > 0
        with one_blas_thread():  # many small systems
            blocks = [self._solve(x, users_of, start) for start in range(0, x.shape[1], BLOCK)]
        self._weights = Speakers(sparse.csr_matrix(sparse.vstack(blocks).T).astype(np.float32))
        return self

    def _solve(self, x: sparse.csc_matrix, users_of: Floats, start: int) -> sparse.csr_matrix:
        """Rows of B' for a block of items, float32 [b, n]."""
        shared = sparse.csr_matrix(x[:, start : start + BLOCK].T @ x)
        if not shared.nnz:
            return shared
        shared.sort_indices()
        row = rows_of(shared)
        shared.data[shared.indices == start + row] = 0
        longest = np.sqrt(np.maximum(users_of[start + row] * users_of[shared.indices], 1))
        cosine = np.asarray(shared.data / longest, np.float32)
        near = largest_entries(shared.indptr, cosine, min(self.config.neighbours, x.shape[1]))
        inside = near >= 0
        code = shared.indices[near] * inside
        among = np.stack([(x[:, mine].T @ x[:, mine]).toarray() for mine in code]).astype(np.float64)  # [b, m, m]
        among *= inside[:, :, None] & inside[:, None, :]
        among += self.config.l2 * np.eye(code.shape[1])
        target = shared.data[near] * inside
        weights = np.linalg.solve(among, target[:, :, None])[:, :, 0]
        return sparse.csr_matrix((weights[inside], (np.nonzero(inside)[0], code[inside])), shape=shared.shape)

    def score(self, queries: Queries) -> Floats:
        """Scores in units of an event's weight."""
        return offer_only(self._answered(queries) & self._known, self._heard(queries))

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        return offer_only(self._answered(queries) & self._known[items], self._heard(queries)[:, items])

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Those for which the history speaks."""
        return self._weights.first(query, self.config.memory.profiles, offered, k)

    def _heard(self, queries: Queries) -> Floats:
        return self._weights.heard(queries, self.config.memory.profiles)

    def _answered(self, queries: Queries) -> Bools:
        """Which queries have any event that counts, bool [q, 1]."""
        return self.config.memory.profiles(queries).answered[:, None]

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of B."""
        return self._weights.between(sources, targets)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"known": self._known, **pack("weights", self._weights.matrix)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, SparseEaseConfig)
        model = cls(config)
        model._known, model._weights = state.bools("known"), Speakers(state.matrix("weights"))
        return model
