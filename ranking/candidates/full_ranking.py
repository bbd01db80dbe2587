"""The whole catalogue ranked for each query; never a sample of it."""

from typing import Final

import numpy as np

from ranking.candidates.generator import NOT_OFFERED, Generator, top_k
from ranking.types import Codes, Floats, Queries

BATCH: Final = 256  # queries scored at once: 10 MB a 10,000 items


def full_ranking(generator: Generator, queries: Queries, *, k: int) -> tuple[Codes, Floats]:
    """The k best items of each query that its history does not hold: codes and scores [q, min(k, n_items)]."""
    k = min(k, queries.n_items)
    parts = [
        top_k(unseen(generator.score(batch), batch), k)
        for batch in (queries.rows(at, min(at + BATCH, len(queries))) for at in range(0, len(queries), BATCH))
    ]
    none = (np.empty((0, k), np.int32), np.empty((0, k), np.float32))
    items, scores = zip(*[none, *parts], strict=True)
    return np.concatenate(items), np.concatenate(scores)


def unseen(scores: Floats, queries: Queries) -> Floats:
    """A copy of the scores [q, n_items] in which no query is offered an item of its history."""
    masked = scores.copy()
    masked[queries.row, queries.item] = NOT_OFFERED
    return masked
