"""What items or people say of items, as a sparse matrix, and what a query hears of them: asked twice, summed once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from ranking.candidates.generator import Places, first_codes
from ranking.profiles import Profiles, block
from ranking.types import Bools, Codes, Floats, Queries

Listening: TypeAlias = Callable[[Queries], Profiles]
"""To whom each query listens, and how much."""


@dataclass(frozen=True, eq=False)  # told apart by identity: a model that is fitted again has others
class Speakers:
    """matrix: float32 CSR [speakers, n_items], what each says of each item."""

    matrix: sparse.csr_matrix

    def heard(self, queries: Queries, listening: Listening) -> Floats:
        """Sums of what is said, float32 [q, n_items]; the queries keep them, so that nobody may write into them."""
        found = queries.told.get(self)
        if found is None:
            found = queries.told[self] = listening(queries).through(self.matrix)
        return found

    def first(self, query: Queries, listening: Listening, offered: Bools, k: int) -> Places:
        """The k offered items of one query that most good is said of, as `Generator.first`; none without any."""
        (heard,) = self.heard(query, listening)
        reached = np.flatnonzero(offered & (heard > 0))  # of a large catalogue a small part
        return np.asarray(reached[first_codes(heard[reached], np.ones(len(reached), bool), k)])

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of the matrix, float32 [s, t]."""
        return block(self.matrix, sources, targets)
