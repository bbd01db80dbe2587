"""Items that hardly anybody has met yet."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numba
import numpy as np
import numpy.typing as npt

from ranking.artifacts import Arrays
from ranking.candidates.generator import NOT_OFFERED, Generator, Places, first_codes, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.products import filled
from ranking.candidates.state import load_state, save_state
from ranking.profiles import columns_of
from ranking.representation.inputs import unit_rows
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


@dataclass(frozen=True)
class Audience:
    """Who likes an item: predicted from content, and remembered, float32 [n_items, f] each, as in `Space`."""

    predicted: Floats
    remembered: Floats


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
        self.vectors = vectors
        self.created_at = created_at
        self.bias = bias
        self.audience = audience

    def fit(self, train: Interactions) -> Self:
        """Learn which items are cold."""
        events = np.bincount(train.item, minlength=len(train.items))
        return self._among(events < self.config.max_events)

    def score(self, queries: Queries) -> Floats:
        """Sum of the opinions; for a query without a taste the bias, or 1 / (1 + age in days)."""
        return self._scores(queries, self._cold, queries.n_items)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items, standardised over the cold ones of these."""
        return self._scores(queries, self._cold.among(self._row[items]), len(items))

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Without a taste alone, when nothing else leads to new items."""
        taste = self.config.memory.profiles(query).times(self.vectors)
        return None if taste.any() else first_codes(self.score(query)[0], offered, k)

    def _scores(self, queries: Queries, cold: "_Cold", n_items: int) -> Floats:
        profiles = self.config.memory.profiles(queries)
        summed = profiles.times(self.vectors)
        answered = filled(summed)
        scores = unit_rows(summed) @ cold.vectors.T + (0 if cold.bias is None else cold.bias)
        offered = exists(cold.created_at, queries) & (cold.filled | ~answered[:, None])
        if self.audience is not None and cold.predicted is not None:
            agreement = profiles.times(self.audience.remembered) @ cold.predicted.T
            scores = standardised(agreement, offered) + self.config.alignment_weight * standardised(scores, offered)
        if not answered.all():
            default = _recency(cold.created_at, queries) if cold.bias is None else cold.bias
            scores = np.where(answered[:, None], scores, default)
        found = np.full((len(queries), n_items), NOT_OFFERED, np.float32)
        found[:, cold.column] = offer_only(offered, scores)
        return found

    def _among(self, cold: Bools) -> Self:
        """Answer with these items alone, bool [n_items]."""
        self.only = self._is_cold = cold
        code = np.flatnonzero(cold)
        self._row = columns_of(cold)
        self._cold = _Cold(
            code,
            self.vectors[code],
            filled(self.vectors[code]),
            self.created_at[code],
            None if self.bias is None else self.bias[code],
            None if self.audience is None else self.audience.predicted[code],
        )
        return self

    def save(self, folder: Path) -> None:
        """Write vectors, times and which items are cold."""
        arrays: Arrays = {"vectors": self.vectors, "created_at": self.created_at, "cold": self._is_cold}
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


@dataclass(frozen=True)
class _Cold:
    """Cold items: of each what the model knows of all, rows in one order, and its column among what is scored.

    column: int64 [c]. filled: bool [c], which have a vector.
    """

    column: npt.NDArray[np.int64]
    vectors: Floats
    filled: Bools
    created_at: Times
    bias: Floats | None
    predicted: Floats | None

    def among(self, row: npt.NDArray[np.int64]) -> "_Cold":
        """Those at some rows, -1 for no cold item, int64 [m]; each is scored where it stands there."""
        column = np.flatnonzero(row >= 0)
        row = row[column]
        return _Cold(
            column,
            self.vectors[row],
            self.filled[row],
            self.created_at[row],
            None if self.bias is None else self.bias[row],
            None if self.predicted is None else self.predicted[row],
        )


def _recency(created_at: Times, queries: Queries) -> Floats:
    age_days = (queries.as_of[:, None] - created_at.astype(np.float64)) / DAY_US
    return (1 / (1 + np.maximum(age_days, 0))).astype(np.float32)


def exists(created_at: Times, queries: Queries) -> Bools:
    """Which items were there before each query's `as_of`, bool [q, n_items]."""
    return created_at < queries.as_of[:, None]


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
