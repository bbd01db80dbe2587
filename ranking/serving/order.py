"""The order of one query's candidates, before a page is made of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from ranking.candidates.candidates import Candidates
from ranking.serving.sought import Sought
from ranking.strategy.hybrid import Ranked
from ranking.strategy.weighting import in_deviations
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

    def mixed(self, candidates: Candidates, sought: Sought) -> "Order":
        """With what lies near the query: score = (1 - weight) x score + weight x cosine, both standardised first.

        Where spreading lets a worse item pass a better one, the better one counts as much as the worse. Ties stay.
        """
        ours = in_deviations(np.minimum.accumulate(self.score.astype(np.float64)))
        theirs = in_deviations(sought.cosine[candidates.item[0][self.place]].astype(np.float64))
        total = (1 - sought.weight) * ours + sought.weight * theirs
        order = np.argsort(-total, kind="stable")
        return Order(self.place[order], total[order].astype(np.float32))
