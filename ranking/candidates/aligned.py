"""Nearest items to the taste of a history, in a space of given item vectors."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ranking.candidates.coarse import Coarse
from ranking.candidates.generator import Generator, Places, first_codes, offer_only
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.located import Located
from ranking.candidates.products import filled, products_with_all, products_with_some
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Codes, Floats, Interactions, Queries


@dataclass(frozen=True)
class AlignedConfig:
    """memory: what of a query's history makes its taste."""

    memory: Memory = field(default_factory=lambda: Memory(feedback=Feedback.POSITIVE))


class Aligned(Generator):
    """Exact search by cosine in the aligned space.

    A query's taste is the sum of its history's item vectors by event weight, faded, at length 1. Items whose vector
    is 0 (no modality at all) are not offered; items without any event are, as their vectors come from content.

    Args:
        config: hyper-parameters.
        vectors: float32 [n_items, d], rows at length 1 or 0.
        bias: float32 [n_items], added to the cosines; default 0.
    """

    name: ClassVar[str] = "aligned"

    def __init__(self, config: AlignedConfig, vectors: Floats, bias: Floats | None = None) -> None:
        self.config = config
        self.space = Located(vectors)
        self.bias = np.zeros(len(vectors), np.float32) if bias is None else bias

    def fit(self, train: Interactions) -> Self:
        """Nothing to learn: the vectors were fitted before."""
        return self

    def score(self, queries: Queries) -> Floats:
        """Cosines of taste and item, plus the items' bias."""
        tastes = self._tastes(queries)
        scores = products_with_all(self.space.vectors, tastes) + self.bias
        return offer_only(filled(tastes)[:, None] & self.space.filled, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        tastes = self._tastes(queries)
        scores = products_with_some(self.space.vectors, items, tastes) + self.bias[items]
        return offer_only(filled(tastes)[:, None] & self.space.filled[items], scores)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """By vectors in eight bits."""
        (taste,) = self._tastes(query)
        if not taste.any():
            return np.empty(0, np.int64)
        key = self, Coarse
        if key not in query.told:
            query.told[key] = self.space.coarse.products(taste) + self.bias
        return first_codes(query.told[key], offered & self.space.filled, k)

    def _tastes(self, queries: Queries) -> Floats:
        return self.space.tastes(queries, self.config.memory)

    def save(self, folder: Path) -> None:
        """Write the vectors."""
        save_state(folder, self.config, {"vectors": self.space.vectors, "bias": self.bias})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, AlignedConfig)
        return cls(config, state.floats("vectors"), state.floats("bias"))


class AlignedRecent(Aligned):
    """The same for what was liked lately: the taste fades with every later event."""

    name: ClassVar[str] = "aligned_recent"

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """`Aligned` finds them for it: its own would keep 1 % more of the candidates, and the same pages."""
        return None


class AlignedSession(AlignedRecent):
    """The same for the session: what else the day of the history's last event holds, liked or not."""

    name: ClassVar[str] = "aligned_session"
