"""What a request looks for, as a place in the aligned space, and which items lie near it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from ranking.candidates.generator import NOT_OFFERED, top_k
from ranking.types import UNKNOWN, Bools, Codes, Floats

QUERY: Final = "query"  # the source of items that lie near what is looked for
SHARE: Final = 0.25  # of as many places as the user's own candidates have, for items near the query


@dataclass(frozen=True)
class Sought:
    """vector: float32 [d], of length 1. weight: 0 to 1, against the asker's taste. vectors: float32 [n_items, d]."""

    vector: Floats
    weight: float
    vectors: Floats

    @cached_property
    def cosine(self) -> Floats:
        """Of every item, float32 [n_items]; 0 for one without content."""
        return np.asarray(self.vectors @ self.vector)

    def near(self, eligible: Bools, count: int) -> Codes:
        """The nearest items that may answer, nearest first, int32 [at most count]."""
        there = eligible & self.vectors.any(axis=1)
        codes, _ = top_k(np.where(there, self.cosine, np.float32(NOT_OFFERED))[None], count)
        found: Codes = codes[0]
        return np.asarray(found[found != UNKNOWN])
