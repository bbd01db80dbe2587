"""The order of one query's candidates, before a page is made of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ranking.candidates.union import Candidates
from ranking.strategy.hybrid import Ranked
from ranking.types import UNKNOWN, Codes, Floats


@dataclass(frozen=True)
class Order:
    """place: int32 [n], places among the candidates, best first. score: float32 [n], in that order."""

    place: Codes
    score: Floats

    @classmethod
    def of(cls, candidates: Candidates, ranked: Ranked | None) -> Self:
        """Of the first query: the ranker's, without its order that of the fusion."""
        if ranked is None:
            place = np.flatnonzero(candidates.item[0] != UNKNOWN).astype(np.int32)
            return cls(place, candidates.fused[0][place])
        known = ranked.item[0] != UNKNOWN
        return cls(ranked.place[0][known], ranked.score[0][known])
