"""Items that hardly anybody has met yet."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numba
import numpy as np

from ranking.artifacts import Arrays
from ranking.candidates.generator import NOT_OFFERED, Generator, Places, first_codes, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.located import Located
from ranking.candidates.products import filled
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Codes, Floats, Interactions, Queries, Times


@dataclass(frozen=True)
class ColdStartConfig:
    """Hyper-parameters of `ColdStart`.

    max_events: items with fewer training events than this are cold.
    alignment_weight: of the aligned cosines beside the predicted audience, both standardised. NDCG@10 among new films
    of ml-latest-small .222 with 1 or .5, .218 without; among new artists of Last.fm .428, .423 with .5, .410 without.
    memory: what of a query's history makes its taste.
    """

    max_events: int = 5
    alignment_weight: float = 1.0
    memory: Memory = field(default_factory=lambda: Memory(feedback=Feedback.POSITIVE))


@dataclass(frozen=True, eq=False)  # told apart by identity, as what queries keep of it
class Audience:
    """Who likes an item: predicted from content, and remembered, float32 [n_items, f] each, as in `Space`."""

    predicted: Floats
    remembered: Floats

    def agreeing(self, queries: Queries, memory: Memory) -> Floats:
        """Who likes what a history holds, float32 [q, f], kept with the queries."""
        key = self, memory
        if key not in queries.told:
            queries.told[key] = memory.profiles(queries).times(self.remembered)
        return queries.told[key]

    def equals(self, other: "Audience") -> bool:
        """Whether both say the same of all items."""
        pairs = (self.predicted, other.predicted), (self.remembered, other.remembered)
        return all(np.array_equal(*pair) for pair in pairs)


class ColdStart(Generator):
    """Cold items that exist at the query's `as_of`, by content alone; all others are not offered.

    Two opinions are standardised over the offered items of a query and added: how near an item lies to the taste in the
    aligned space, and how well its predicted audience agrees with the remembered ones of the history. A query without a
    taste is answered by `bias`, the popularity that content predicts, or else by how new an item is.

    Args:
        config: hyper-parameters.
        vectors: float32 [n_items, d], rows at length 1, or 0 for items without content.
        created_at: int64 [n_items], microseconds UTC; the least int64 where unknown: such an item always exists.
        bias: float32 [n_items] or None.
        audience: None leaves the aligned space alone.
    """

    name: ClassVar[str] = "cold_start"

    def __init__(
        self,
        config: ColdStartConfig,
        vectors: Floats,
        created_at: Times,
        bias: Floats | None = None,
        audience: Audience | None = None,
    ) -> None:
        self.config = config
        self.space = Located(vectors)
        self.created_at = created_at
        self.bias = bias
        self.audience = audience

    def fit(self, train: Interactions) -> Self:
        """Learn which items are cold."""
        events = np.bincount(train.item, minlength=len(train.items))
        return self._among(events < self.config.max_events)

    def score(self, queries: Queries) -> Floats:
        """Sum of the opinions; for a query without a taste the bias, or 1 / (1 + age in days)."""
        return self.score_some(queries, np.arange(queries.n_items, dtype=np.int32))

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items, standardised over the cold ones of these."""
        at = np.flatnonzero(self._is_cold[items])
        found = np.full((len(queries), len(items)), NOT_OFFERED, np.float32)
        found[:, at] = self._scores(queries, items[at])
        return found

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Without a taste alone, when nothing else leads to new items."""
        return (
            None
            if self.space.tastes(query, self.config.memory).any()
            else first_codes(self.score(query)[0], offered, k)
        )

    def _scores(self, queries: Queries, cold: Codes) -> Floats:
        """Of cold items, codes [c]."""
        bias, created_at = None if self.bias is None else self.bias[cold], self.created_at[cold]
        tastes = self.space.tastes(queries, self.config.memory)
        answered = filled(tastes)
        scores = tastes @ self.space.vectors[cold].T + (0 if bias is None else bias)
        offered = queries.after(created_at) & (self.space.filled[cold] | ~answered[:, None])
        if self.audience is not None:
            agreement = self.audience.agreeing(queries, self.config.memory) @ self.audience.predicted[cold].T
            scores = standardised(agreement, offered) + self.config.alignment_weight * standardised(scores, offered)
        if not answered.all():
            default = _recency(created_at, queries) if bias is None else bias
            scores = np.where(answered[:, None], scores, default)
        return offer_only(offered, scores)

    def _among(self, cold: Bools) -> Self:
        """Answer with these items alone, bool [n_items]."""
        self.only = self._is_cold = cold
        return self

    def save(self, folder: Path) -> None:
        """Write vectors, times and which items are cold."""
        arrays: Arrays = {"vectors": self.space.vectors, "created_at": self.created_at, "cold": self._is_cold}
        if self.bias is not None:
            arrays["bias"] = self.bias
        if self.audience is not None:
            arrays |= {"predicted": self.audience.predicted, "remembered": self.audience.remembered}
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, ColdStartConfig)
        bias = state.floats("bias") if "bias" in state else None
        audience = None
        if "predicted" in state:
            audience = Audience(state.floats("predicted"), state.floats("remembered"))
        model = cls(config, state.floats("vectors"), state.times("created_at"), bias, audience)
        return model._among(state.bools("cold"))


def _recency(created_at: Times, queries: Queries) -> Floats:
    age_days = (queries.as_of[:, None] - created_at.astype(np.float64)) / DAY_US
    return (1 / (1 + np.maximum(age_days, 0))).astype(np.float32)


@numba.njit(cache=True, nogil=True)
def standardised(scores: Floats, offered: Bools) -> Floats:
    """Scores float32 [q, n] of mean 0 and deviation 1 over each row's offered ones; 0 where these are the same."""
    found = np.empty(scores.shape, np.float32)
    for row in range(len(scores)):
        count, total, squares = 0, 0.0, 0.0
        for code in range(scores.shape[1]):
            if offered[row, code]:
                count += 1
                total += scores[row, code]
        mean = total / max(count, 1)
        for code in range(scores.shape[1]):
            if offered[row, code]:
                squares += (scores[row, code] - mean) ** 2
        deviation = np.sqrt(squares / max(count, 1))
        scale = 1 / deviation if deviation > 1e-9 else 0.0
        for code in range(scores.shape[1]):
            found[row, code] = (scores[row, code] - mean) * scale
    return found
