"""How close a candidate is to single items of the history, as each item-to-item model sees it.

A generator sums what all events of a history say, faded in one way. Here the same models are asked again about parts of
it: what the latest events say alone, what the closest item says, what was liked against what was not. A ranker learns
from these which part of which history to trust.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.candidates.generator import Generator, ItemToItem
from ranking.candidates.threads import one_blas_thread
from ranking.types import Bools, Codes, Floats, Queries

LATEST: Final = (1, 3, 10)
NEAREST: Final = 3
REMEMBERED: Final = 200  # latest events that are looked at

PARTS: Final = (*(f"latest_{count}" for count in LATEST), "nearest", f"nearest_{NEAREST}", "liked", "not_liked", "all")


def closeness(
    generators: Sequence[Generator], row: npt.NDArray[np.int64], item: Codes, queries: Queries
) -> dict[str, Floats]:
    """Columns float32 [n], GENERATOR_PART, for candidates (row of the query, ascending; item code).

    latest_K: mean over the latest K events; nearest, nearest_K: the largest value over the history, mean of the K
    largest; liked, not_liked, all: mean over the positive, the other, all events. NaN where the part is empty.
    """
    models = [one for one in generators if isinstance(one, ItemToItem)]
    found = {one.name: np.full((len(PARTS), len(row)), np.nan, np.float32) for one in models}
    bounds = np.searchsorted(row, np.arange(len(queries) + 1)).tolist()
    with one_blas_thread():  # thousands of small products
        for query, (start, stop) in enumerate(pairwise(bounds)):
            mine = slice(*queries.indptr[query : query + 2].tolist())
            history = queries.item[mine][::-1][:REMEMBERED]
            liked = queries.positive[mine][::-1][:REMEMBERED]
            if len(history) and stop > start:
                for model in models:
                    said = model.between(history, item[start:stop])
                    found[model.name][:, start:stop] = _parts(said, liked)
    return {
        f"{name}_{part}": values for name, parts in found.items() for part, values in zip(PARTS, parts, strict=True)
    }


def _parts(said: Floats, liked: Bools) -> Floats:
    """Rows as `PARTS`, float32 [parts, t]; said: float32 [h, t], the latest event first, h at least 1."""
    count = min(NEAREST, len(said))
    nearest = np.partition(said, len(said) - count, axis=0)[-count:]
    return np.stack(
        [
            *(said[:latest].mean(axis=0) for latest in LATEST),
            said.max(axis=0),
            nearest.mean(axis=0),
            _mean(said[liked]),
            _mean(said[~liked]),
            said.mean(axis=0),
        ]
    )


def _mean(said: Floats) -> Floats:
    return said.mean(axis=0) if len(said) else np.full(said.shape[1], np.nan, np.float32)
