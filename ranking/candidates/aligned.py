"""Nearest items to the taste of a history, in a space of given item vectors."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ranking.candidates.coarse import Coarse
from ranking.candidates.generator import Generator, Places, first_codes, offer_only
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.products import filled, products_with_all, products_with_some
from ranking.candidates.state import load_state, save_state
from ranking.representation.inputs import unit_rows
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
        self.vectors = vectors
        self.bias = np.zeros(len(vectors), np.float32) if bias is None else bias

    def fit(self, train: Interactions) -> Self:
        """Nothing to learn: the vectors were fitted before."""
        return self

    def score(self, queries: Queries) -> Floats:
        """Cosines of taste and item, plus the items' bias."""
        tastes = self._tastes(queries)
        return offer_only(filled(tastes)[:, None] & self._filled, products_with_all(self.vectors, tastes) + self.bias)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        tastes = self._tastes(queries)
        scores = products_with_some(self.vectors, items, tastes) + self.bias[items]
        return offer_only(filled(tastes)[:, None] & self._filled[items], scores)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """By vectors in eight bits."""
        (taste,) = self._tastes(query)
        if not taste.any():
            return np.empty(0, np.int64)
        key = self, Coarse
        if key not in query.told:
            query.told[key] = self._coarse.products(taste) + self.bias
        return first_codes(query.told[key], offered & self._filled, k)

    def _tastes(self, queries: Queries) -> Floats:
        if self not in queries.told:
            queries.told[self] = taste_vectors(queries, self.vectors, self.config.memory)
        return queries.told[self]

    @cached_property
    def _coarse(self) -> Coarse:
        return Coarse.of(self.vectors)

    @cached_property
    def _filled(self) -> Bools:
        return filled(self.vectors)

    def save(self, folder: Path) -> None:
        """Write the vectors."""
        save_state(folder, self.config, {"vectors": self.vectors, "bias": self.bias})

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


def taste_vectors(queries: Queries, vectors: Floats, memory: Memory) -> Floats:
    """Summed history vectors at length 1, float32 [q, d]; 0 for a query without any."""
    return unit_rows(memory.profiles(queries).times(vectors))
