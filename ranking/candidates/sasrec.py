"""SASRec: self-attention over the sequence of a history; optional, as it takes minutes to learn."""

from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Floats, Interactions, Queries

STRIDE: Final = 2  # a long history gives sequences that start half a length apart


class Sasrec(Generator):
    """Self-attentive sequential recommendation (Kang and McAuley 2018) with full cross-entropy.

    The loss is that of Klenitskiy and Vasilev 2023: at every place a softmax over all items, no sampled negatives.
    Deviations: pre-norm, a bias an item, places counted from the end. An item that was met several times stands
    several times in the sequence. Items without a training event are not offered.
    """

    name: ClassVar[str] = "sasrec"

    def __init__(self, config: SasrecConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        from ranking.candidates.sasrec_network import trained  # torch: commands that learn nothing start fast

        chosen = self.config.memory.training(train)
        self._known: Bools = np.bincount(chosen.item, minlength=len(train.items)) > 0
        self._network = trained(_sequences(chosen, self.config.length), self._known, self.config)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: logits of the next item."""
        from ranking.candidates.sasrec_network import next_items  # torch, as above

        tokens = _padded(queries, self.config)
        answered = tokens[:, -1] > 0
        scores = np.zeros((len(queries), queries.n_items), np.float32)
        if answered.any():
            scores[answered] = next_items(self._network, tokens[answered])
        return offer_only(answered[:, None] & self._known, scores)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        weights = {name: value.numpy() for name, value in self._network.state_dict().items()}
        save_state(folder, self.config, {"known": self._known, **weights})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        from ranking.candidates.sasrec_network import restored  # torch, as above

        config, state = load_state(folder, SasrecConfig)
        model = cls(config)
        model._known = state.bools("known")
        model._network = restored(state.all_floats(), len(model._known), config)
        return model


def _sequences(chosen: Interactions, length: int) -> npt.NDArray[np.int64]:
    """Tokens int64 [s, length + 1] of all users' sequences, padded in front; a long one in overlapping pieces."""
    by_user = np.argsort(chosen.user, kind="stable")  # stable: keeps time order within a user
    ends = np.cumsum(np.bincount(chosen.user, minlength=len(chosen.users)))
    tokens = chosen.item[by_user].astype(np.int64) + 1
    rows = []
    for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
        for stop in range(end, start + 1, -max(length // STRIDE, 1)):
            piece = tokens[max(start, stop - length - 1) : stop]
            rows.append(np.pad(piece, (length + 1 - len(piece), 0)))
            if stop - length - 1 <= start:
                break
    return np.stack(rows) if rows else np.zeros((0, length + 1), np.int64)


def _padded(queries: Queries, config: SasrecConfig) -> npt.NDArray[np.int64]:
    """Tokens int64 [q, length] of the last events that count; 0 in front of them."""
    counts = config.memory.counts(queries)
    row, item = queries.row[counts], queries.item[counts]
    end = np.cumsum(np.bincount(row, minlength=len(queries)))[row]
    place = config.length - (end - np.arange(len(row)))  # the latest stands last
    tokens = np.zeros((len(queries), config.length), np.int64)
    tokens[row[place >= 0], place[place >= 0]] = item[place >= 0] + 1
    return tokens
