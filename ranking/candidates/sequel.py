"""What a history leads to: a linear model that learns a user's later choices from the earlier ones."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.state import load_state, save_state
from ranking.profiles import Profiles, columns_of
from ranking.types import Bools, Codes, Floats, Interactions, Queries

MAX_ITEMS: Final = 5_000  # the most frequent ones; weights between all of them are 100 MB


@dataclass(frozen=True)
class SequelConfig:
    """Hyper-parameters of `Sequel`, measured on MovieLens 100K's validation window (NDCG@10 .165; l2 of 500: the same).

    l2: regularisation in squared profile weights. cuts: shares of a user's events after which it is asked what comes.
    ahead: share of them that counts as what came, liked or not (.157 where the others count a fifth).
    min_events: items with fewer events are left out. memory: what of a history counts.
    """

    l2: float = 200.0
    cuts: tuple[float, ...] = (0.5, 0.65, 0.8)
    ahead: float = 0.25
    min_events: int = 5
    memory: Memory = field(default_factory=lambda: Memory(half_life_events=10, others=0.2))


class Sequel(Generator):
    """Ridge regression of later events on faded profiles of earlier ones, over all users and a few moments of each.

    scores = p B with B = (X'X + l2 I)^-1 X'Y, or X'(XX' + l2 I)^-1 Y, whichever is smaller: a row of X is a profile as
    it was at a cut, the row of Y what came next. Where EASE (Steck 2019) says what belongs together, this says what
    comes later; an item may speak for itself, as it never is in both. Source: the linear next-item models of Choe,
    Kang, Lim, Lee, SLIST (2021), their transition part; ours reads whole histories, at cuts.
    """

    name: ClassVar[str] = "sequel"

    def __init__(self, config: SequelConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        self._knowing(_frequent(train, self.config.min_events))
        before, after = self._lessons(train)
        told = (np.diff(before.indptr) > 0) & (np.diff(after.indptr) > 0)
        weights = ridge(before[told], after[told], self.config.l2)
        self._weights = np.ascontiguousarray(weights, np.float32)  # by rows: a product with a profile copies nothing
        return self

    def _knowing(self, known: Bools) -> None:
        """Answer with these items alone, bool [n_items]."""
        self._known, self._column, self._count = known, columns_of(known), int(np.count_nonzero(known))

    def _lessons(self, train: Interactions) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        """Profiles at every cut, and what came after, float64 [cuts x users, known items] each."""
        place = _place(train)
        users = np.arange(len(train.users), dtype=np.int32)
        never = np.full(len(users), np.iinfo(np.int64).max)
        before, after = [], []
        for cut in self.config.cuts:
            history = Queries.from_interactions(train.where(place < cut), users, never)
            coming = (place >= cut) & (place < cut + self.config.ahead)
            before.append(self._profiles(history).matrix())
            after.append(train.where(coming).matrix()[:, self._known])
        return (
            sparse.csr_matrix(sparse.vstack(before), dtype=np.float64),
            sparse.csr_matrix(sparse.vstack(after), dtype=np.float64),
        )

    def _profiles(self, queries: Queries) -> Profiles:
        """Among the known items."""
        return self.config.memory.profiles(queries).only(self._column, self._count)

    def score(self, queries: Queries) -> Floats:
        """Scores in units of an event to come."""
        scores = np.zeros((len(queries), queries.n_items), np.float32)
        scores[:, self._known] = self._profiles(queries).times(self._weights)
        return offer_only(self._answered(queries) & self._known, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        column = self._column[items]
        scores = self._profiles(queries).times_some(self._weights, column)
        return offer_only(self._answered(queries) & (column >= 0), scores)

    def _answered(self, queries: Queries) -> Bools:
        """Which queries have any event that counts, bool [q, 1]."""
        return self.config.memory.profiles(queries).answered[:, None]

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"known": self._known, "weights": self._weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, SequelConfig)
        model = cls(config)
        model._knowing(state.bools("known"))
        model._weights = state.floats("weights")
        return model


def _frequent(train: Interactions, least: int) -> Bools:
    """Items with at least so many events, no more than `MAX_ITEMS` of them."""
    events = np.bincount(train.item, minlength=len(train.items))
    first = np.argsort(-events, kind="stable")[:MAX_ITEMS]
    known = np.zeros(len(events), bool)
    known[first] = events[first] >= least
    return known


def _place(train: Interactions) -> npt.NDArray[np.float64]:
    """Where each event stands among its user's, from 0 to 1."""
    count = np.bincount(train.user, minlength=len(train.users))
    by_user = np.argsort(train.user, kind="stable")  # stable: keeps time order within a user
    place = np.empty(len(train))
    place[by_user] = np.arange(len(train)) - (np.cumsum(count) - count)[train.user[by_user]]
    return np.asarray((place + 0.5) / count[train.user])


def ridge(x: sparse.csr_matrix, y: sparse.csr_matrix, l2: float) -> npt.NDArray[np.float64]:
    """B of least squares x B = y with penalty l2, float64 [n, n]."""
    if x.shape[0] < x.shape[1]:
        kernel = (x @ x.T).toarray() + l2 * np.eye(x.shape[0])
        return np.asarray(x.T @ linalg.solve(kernel, y.toarray(), assume_a="pos", overwrite_a=True, overwrite_b=True))
    gram = (x.T @ x).toarray() + l2 * np.eye(x.shape[1])
    return np.asarray(linalg.solve(gram, (x.T @ y).toarray(), assume_a="pos", overwrite_a=True, overwrite_b=True))
