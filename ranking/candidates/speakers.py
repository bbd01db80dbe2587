"""What items or people say of items, as a sparse matrix, and what a query hears of them: asked twice, summed once."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from scipy import sparse

from ranking.candidates.generator import Places, first_of
from ranking.kernels import reached_keys
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
            to = queries.memo[self] = listening(queries)
            found = queries.told[self] = to.through(self.matrix)
        return found

    def first(self, query: Queries, listening: Listening, offered: Bools, k: int) -> Places:
        """The k offered items of one query that most good is said of, as `Generator.first`; none without any."""
        (heard,) = self.heard(query, listening)
        to = query.memo[self].indices
        return first_of(reached_keys(self.matrix.indptr, self.matrix.indices, to, heard, offered), k)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Entries of the matrix, float32 [s, t]."""
        return block(self.matrix, sources, targets)
