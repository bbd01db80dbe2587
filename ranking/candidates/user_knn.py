"""What the people of the most similar histories chose."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from ranking.candidates.generator import Generator, Places, at_columns, offer_only, top_k
from ranking.candidates.history import Memory, binary
from ranking.candidates.speakers import Speakers
from ranking.candidates.state import load_state, pack, save_state
from ranking.profiles import Profiles
from ranking.types import Bools, Codes, Floats, Interactions, Queries


@dataclass(frozen=True)
class UserKnnConfig:
    """Hyper-parameters of `UserKnn`.

    neighbours: how many most similar users speak. shrink: added to the cosine's denominator.
    power: of the similarity, above 1 the nearest speak louder.
    rarity: in the similarity an item counts users^-rarity; 0 is the plain cosine.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    neighbours: int = 100
    shrink: float = 0.0
    power: float = 1.0
    rarity: float = 0.0
    memory: Memory = field(default_factory=Memory)


class UserKnn(Generator):
    """User-based nearest neighbours by cosine (Herlocker et al. 1999, for implicit feedback).

    An item's score is the summed similarity of those neighbours that have it; a user of training is one of their own
    neighbours, which only adds to what they have already. Items that no neighbour has are not offered.
    """

    name: ClassVar[str] = "user_knn"

    def __init__(self, config: UserKnnConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        return self._among(binary(self.config.memory.training(train)))

    def _among(self, users: sparse.csr_matrix) -> Self:
        """Answer by users x items, and what of them is looked up: an item is worth the less, the more users have it."""
        self._users = Speakers(users)
        users_of = np.bincount(users.indices, minlength=users.shape[1])
        self._worth: Floats = np.maximum(users_of, 1).astype(np.float32) ** -self.config.rarity
        known = Profiles.of_matrix(users).scaled(self._worth)
        self._by_item, self._lengths = known.matrix().T.tocsr(), _lengths(known)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: summed powers of cosines."""
        scores = self._users.heard(queries, self._near)
        return offer_only(scores > 0, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        scores = self._users.heard(queries, self._near)[:, items]
        return offer_only(scores > 0, scores)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Items of the neighbours."""
        return self._users.first(query, self._near, offered, k)

    def _near(self, queries: Queries) -> Profiles:
        """Each query's neighbours, by ascending code, and how loudly they speak."""
        asking = self.config.memory.profiles(queries).scaled(self._worth)
        shared = asking.through(self._by_item)
        length = np.outer(_lengths(asking), self._lengths) + np.float32(self.config.shrink)
        cosine = shared / np.maximum(length, np.float32(1e-9))
        codes = np.sort(top_k(cosine, self.config.neighbours)[0], axis=1)  # the same sums, whoever of them is nearest
        alike = at_columns(cosine, codes)
        near = alike > 0
        indptr = np.append(0, np.cumsum(np.count_nonzero(near, axis=1)))
        loudness = alike[near] ** np.float32(self.config.power)
        return Profiles(indptr, codes[near], loudness, len(self._lengths))

    def save(self, folder: Path) -> None:
        """Write the fitted state: the users' items."""
        save_state(folder, self.config, pack("users", self._users.matrix))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, UserKnnConfig)
        return cls(config)._among(state.matrix("users"))


def _lengths(rows: Profiles) -> Floats:
    return np.sqrt(rows.sums(rows.data.astype(np.float64) ** 2)).astype(np.float32)
