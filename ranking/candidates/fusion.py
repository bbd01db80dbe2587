"""The neural fusion model: will this user take that item? A classifier of pairs, used as a single model only."""

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from scipy import special

from ranking.candidates.fusion_config import FusionConfig
from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import binary
from ranking.candidates.state import load_state, save_state
from ranking.types import UNKNOWN, Bools, Floats, Interactions, Queries

CELLS: Final = 4_000_000  # hidden units at one time: 16 MB


class Fusion(Generator):
    """User and item embeddings side by side, a dense layer, a sigmoid; binary cross-entropy, Adam.

    The plain neural recommender of tutorials, and the MLP part of NeuMF (He et al. 2017, equation 10) with one layer.
    Negatives are drawn evenly from the items that the user has not met. It alone looks a user up by code, as the
    model is defined by that; whoever was not in training gets the mean, over the history, of the items' users' mean
    embedding. So an anonymous session is answered, but not as its user would be, and new events of a known user do
    not count.
    """

    name: ClassVar[str] = "fusion"

    def __init__(self, config: FusionConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        from ranking.candidates.fusion_network import train_network  # torch: commands that learn nothing start fast

        config = self.config
        x = binary(config.memory.training(train))
        self._known: Bools = np.bincount(x.indices, minlength=x.shape[1]) > 0
        self._trained: Bools = np.diff(x.indptr) > 0
        offered = np.flatnonzero(self._known).astype(np.int32)
        weights = train_network(x, offered, config)
        by_user, by_item = np.split(weights["dense.weight"].T, 2)  # what each embedding says to the hidden units
        users = weights["user.weight"] @ by_user
        self._items: Floats = weights["item.weight"] @ by_item + weights["dense.bias"]
        self._output: Floats = np.append(weights["output.weight"][0], weights["output.bias"]).astype(np.float32)
        self._users: Floats = users * self._trained[:, None]
        users_of = np.maximum(np.bincount(x.indices, minlength=x.shape[1]), 1)
        self._of_items: Floats = np.asarray(x.T @ self._users / users_of[:, None], np.float32)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: logits of the probability."""
        profiles = self.config.memory.profiles(queries)
        total = np.maximum(profiles.totals[:, None], 1e-9)
        people: Floats = np.asarray(profiles.times(self._of_items) / total, np.float32)
        known = np.flatnonzero((queries.user != UNKNOWN) & self._trained[queries.user])
        people[known] = self._users[queries.user[known]]
        scores = np.zeros((len(queries), queries.n_items), np.float32)
        scores[:, self._known] = self._logits(people, self._items[self._known])
        return offer_only(profiles.answered[:, None] & self._known, scores)

    def _logits(self, people: Floats, items: Floats) -> Floats:
        logits = np.zeros((len(people), len(items)), np.float32)
        step = max(1, CELLS // max(items.size, 1))
        for start in range(0, len(people), step):
            hidden = people[start : start + step, None, :] + items  # [step, n, hidden]
            logits[start : start + step] = np.maximum(hidden, 0, out=hidden) @ self._output[:-1] + self._output[-1]
        return logits

    def probability(self, queries: Queries) -> Floats:
        """Probabilities float32 [q, n_items] that the user takes the item, 0 where it is not offered.

        They belong to a world with as many unobserved pairs as were drawn in training.
        """
        return special.expit(self.score(queries))

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays = {"users": self._users, "items": self._items, "of_items": self._of_items, "output": self._output}
        save_state(folder, self.config, {**arrays, "known": self._known, "trained": self._trained})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, FusionConfig)
        model = cls(config)
        model._users, model._items = state.floats("users"), state.floats("items")
        model._of_items, model._output = state.floats("of_items"), state.floats("output")
        model._known, model._trained = state.bools("known"), state.bools("trained")
        return model
