"""How close a candidate is to single items of the history, as each item-to-item model sees it.

A generator sums what all events of a history say, faded in one way. Here the same models are asked again about parts of
it: what the latest events say alone, what the closest item says, what was liked against what was not. A ranker learns
from these which part of which history to trust.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from ranking.candidates.generator import Generator, ItemToItem
from ranking.candidates.threads import one_blas_thread
from ranking.rankers.features import FeatureMatrix, Part
from ranking.types import Bools, Codes, Floats, Queries

LATEST: Final = (1, 3, 10)
NEAREST: Final = 3
REMEMBERED: Final = 200  # latest events that are looked at

PARTS: Final = (*(f"latest_{count}" for count in LATEST), "nearest", f"nearest_{NEAREST}", "liked", "not_liked", "all")


def closeness(
    generators: Sequence[Generator], row: npt.NDArray[np.int64], item: Codes, queries: Queries
) -> FeatureMatrix:
    """Columns GENERATOR_PART, in the order of their names, for candidates (row of the query, ascending; item code).

    latest_K: mean over the latest K events; nearest, nearest_K: the largest value over the history, mean of the K
    largest; liked, not_liked, all: mean over the positive, the other, all events. NaN where the part is empty.
    """
    models = [one for one in generators if isinstance(one, ItemToItem)]
    columns, parts = _columns(tuple(one.name for one in models))
    found = np.full((len(parts), len(row)), np.nan, np.float32)
    bounds = np.searchsorted(row, np.arange(len(queries) + 1)).tolist()
    with one_blas_thread():  # thousands of small products
        for query, (start, stop) in enumerate(pairwise(bounds)):
            mine = slice(*queries.indptr[query : query + 2].tolist())
            history = np.ascontiguousarray(queries.item[mine][::-1][:REMEMBERED])
            liked = np.ascontiguousarray(queries.positive[mine][::-1][:REMEMBERED])
            if len(history) and stop > start:
                for model, its in zip(models, columns, strict=True):
                    said = np.ascontiguousarray(model.between(history, item[start:stop]))
                    _parts(said, liked, found[:, start:stop], its)
    return FeatureMatrix(tuple(parts), found.T, parts)


@lru_cache(maxsize=8)
def _columns(models: tuple[str, ...]) -> tuple[npt.NDArray[np.int64], dict[str, Part]]:
    """Where each model's `PARTS` stand in the order of their names, int64 [models, parts], and what these tell of."""
    names = [f"{one}_{part}" for one in models for part in PARTS]
    columns = np.argsort(np.argsort(np.array(names, str)))
    return columns.reshape(len(models), len(PARTS)), dict.fromkeys(sorted(names), Part.BEHAVIOUR)


@numba.njit(cache=True, nogil=True)
def _parts(said: Floats, liked: Bools, found: Floats, rows: npt.NDArray[np.int64]) -> None:
    """Fill in the rows that are `PARTS`, float32 [t]; said: float32 [h, t], the latest event first, h at least 1."""
    events, width = said.shape
    total, by_liking = np.zeros(width, np.float32), np.zeros((2, width), np.float32)
    largest = np.full((NEAREST, width), np.float32(-np.inf))
    for event in range(events):
        left, its_kind = said[event].copy(), by_liking[int(liked[event])]
        for column in range(width):
            total[column] += left[column]
            its_kind[column] += left[column]
        for place in range(NEAREST):
            best = largest[place]
            for column in range(width):
                one, other = left[column], best[column]
                best[column] = one if one > other else other
                left[column] = other if one > other else one
        for number, latest in enumerate(LATEST):
            if event + 1 == latest or event + 1 == events < latest:
                found[rows[number]] = total / np.float32(event + 1)
    by_nearness, near = np.zeros(width, np.float32), min(NEAREST, events)
    for place in range(near):
        by_nearness += largest[near - 1 - place]
    found[rows[len(LATEST)]] = largest[0]
    found[rows[len(LATEST) + 1]] = by_nearness / np.float32(near)
    n_liked = np.count_nonzero(liked)
    if n_liked:
        found[rows[len(LATEST) + 2]] = by_liking[1] / np.float32(n_liked)
    if n_liked < events:
        found[rows[len(LATEST) + 3]] = by_liking[0] / np.float32(events - n_liked)
    found[rows[len(LATEST) + 4]] = total / np.float32(events)
