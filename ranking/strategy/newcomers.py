"""How new items are ranked: whether the alignment has a say beside the predicted audience, by what came true."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from scipy import sparse

from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig
from ranking.candidates.full_ranking import full_ranking
from ranking.metrics import hits_of, ndcg
from ranking.rankers.space import Space
from ranking.splits import Split
from ranking.types import Times

WEIGHTS: Final = (1.0, 0.0)  # of the alignment; the first where nothing can be told
MIN_ASKED: Final = 50  # users who came to like an item that was new; fewer tell nothing
DEPTH: Final = 10


def tune_cold_start(
    config: ColdStartConfig, division: Split, *, space: Space, created_at: Times, weights: Sequence[float] = WEIGHTS
) -> ColdStartConfig:
    """The weight of the alignment that best ranks, among items new at the division's moment, those liked after it.

    space: learned from nothing later than the division's training part.
    """
    new = np.bincount(division.train.item, minlength=len(created_at)) < config.max_events
    wanted = sparse.csr_matrix(division.relevant.multiply(new[None]))
    wanted.eliminate_zeros()
    likes = np.diff(wanted.indptr)
    if (likes > 0).sum() < MIN_ASKED:
        return replace(config, alignment_weight=weights[0])
    audience = Audience(space.predicted, space.remembered)
    found = {}
    for weight in weights:
        tried = replace(config, alignment_weight=weight)
        model = ColdStart(tried, space.fused, created_at, space.appeal, audience).fit(division.train)
        ranked, _ = full_ranking(model, division.queries, k=DEPTH)
        hits = hits_of(ranked, wanted)[likes > 0]
        found[tried] = float(ndcg(hits, likes[likes > 0], DEPTH).mean())
    return max(found, key=lambda one: found[one])
