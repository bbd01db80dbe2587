"""Where items lie: a space that several generators search, and what of it they look up for the same query."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ranking.candidates.coarse import Coarse
from ranking.candidates.history import Memory
from ranking.candidates.products import filled
from ranking.representation.inputs import unit_rows
from ranking.types import Bools, Floats, Queries


@dataclass(frozen=True, eq=False)  # told apart by identity, as what queries keep of it
class Located:
    """vectors: float32 [n_items, d], rows at length 1, or 0 for items without content."""

    vectors: Floats

    def equals(self, other: "Located") -> bool:
        """Whether all items lie where they do there."""
        return np.array_equal(self.vectors, other.vectors)

    @cached_property
    def filled(self) -> Bools:
        """Which items have a vector, bool [n_items]."""
        return filled(self.vectors)

    @cached_property
    def coarse(self) -> Coarse:
        """The vectors in eight bits."""
        return Coarse.of(self.vectors)

    def tastes(self, queries: Queries, memory: Memory) -> Floats:
        """`taste_vectors`, kept with the queries."""
        key = self, memory
        if key not in queries.told:
            queries.told[key] = taste_vectors(queries, self.vectors, memory)
        return queries.told[key]


def taste_vectors(queries: Queries, vectors: Floats, memory: Memory) -> Floats:
    """Summed history vectors at length 1, float32 [q, d]; 0 for a query without any."""
    return unit_rows(memory.profiles(queries).times(vectors))
