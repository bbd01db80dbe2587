"""Items that hardly anybody has met yet."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ranking.artifacts import Arrays
from ranking.candidates.aligned import filled, taste_vectors
from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Floats, Interactions, Queries, Times


@dataclass(frozen=True)
class ColdStartConfig:
    """Hyper-parameters of `ColdStart`.

    max_events: items with fewer training events than this are cold.
    memory: what of a query's history makes its taste.
    """

    max_events: int = 5
    memory: Memory = field(default_factory=lambda: Memory(feedback=Feedback.POSITIVE))


class ColdStart(Generator):
    """Cold items that exist at the query's `as_of`, by content alone; all others are not offered.

    Behaviour cannot rank them, so `vectors` must come from content: aligned, or regressed onto behaviour. A query
    without a taste is answered by `bias`, the popularity that content predicts, or else by how new an item is.

    Args:
        config: hyper-parameters.
        vectors: float32 [n_items, d], rows at length 1, or 0 for items without content.
        created_at: int64 [n_items], microseconds UTC; the least int64 where unknown: such an item always exists.
        bias: float32 [n_items] or None.
    """

    name: ClassVar[str] = "cold_start"

    def __init__(self, config: ColdStartConfig, vectors: Floats, created_at: Times, bias: Floats | None = None) -> None:
        self.config = config
        self.vectors = vectors
        self.created_at = created_at
        self.bias = bias

    def fit(self, train: Interactions) -> Self:
        """Learn which items are cold."""
        events = np.bincount(train.item, minlength=len(train.items))
        self._cold: Bools = events < self.config.max_events
        return self

    def score(self, queries: Queries) -> Floats:
        """Cosines plus bias; for a query without a taste the bias, or 1 / (1 + age in days)."""
        tastes, answered = taste_vectors(queries, self.vectors, self.config.memory)
        default = self._recency(queries) if self.bias is None else self.bias
        cosine = tastes @ self.vectors.T + (0 if self.bias is None else self.bias)
        scores = np.where(answered[:, None], cosine, default)
        comparable = filled(self.vectors) | ~answered[:, None]
        return offer_only(self._cold & exists(self.created_at, queries) & comparable, scores)

    def _recency(self, queries: Queries) -> Floats:
        age_days = (queries.as_of[:, None] - self.created_at.astype(np.float64)) / DAY_US
        return (1 / (1 + np.maximum(age_days, 0))).astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write vectors, times and which items are cold."""
        arrays: Arrays = {"vectors": self.vectors, "created_at": self.created_at, "cold": self._cold}
        if self.bias is not None:
            arrays["bias"] = self.bias
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, ColdStartConfig)
        bias = state.floats("bias") if "bias" in state else None
        model = cls(config, state.floats("vectors"), state.times("created_at"), bias)
        model._cold = state.bools("cold")
        return model


def exists(created_at: Times, queries: Queries) -> Bools:
    """Which items were there before each query's `as_of`, bool [q, n_items]."""
    return created_at < queries.as_of[:, None]
