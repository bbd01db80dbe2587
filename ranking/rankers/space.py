"""Where the items lie: the aligned space as a ranker sees it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numba
import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, save_arrays
from ranking.candidates.products import filled, products
from ranking.rankers.features import FeatureMatrix, Part
from ranking.types import Bools, Codes, Floats, Queries, Times

HOURS_AROUND: Final = 3.0  # an event speaks of the hours around its own, half as much at this distance
RECENT: Final = 5  # latest liked items that a candidate is compared with one by one

_DAY_US: Final = 86_400_000_000
_PART: Final = {Modality.TEXT: Part.TEXT, Modality.IMAGE: Part.IMAGE, Modality.AUDIO: Part.AUDIO}


@dataclass(frozen=True)
class Space:
    """Item vectors, rows in the order of the item codes.

    fused: float32 [n, d], unit rows, 0 for an item without content. by_modality: the same for each modality alone.
    appeal: float32 [n], popularity as content alone predicts it.
    predicted: float32 [n, f], each item's audience as its content predicts it, 0 without content; remembered: the same
    where the audience is known, what a history sums up. Their inner products rank new items.

    Coordinates themselves are no features: the alignment of a release is another one than those of the windows that
    its ranker learned from, with other axes. Cosines keep their meaning from one to the next.
    """

    fused: Floats
    by_modality: dict[Modality, Floats]
    appeal: Floats
    predicted: Floats
    remembered: Floats

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> FeatureMatrix:
        """Columns for candidates (row of the query, ascending; item code), NaN where there is no vector."""
        likes = queries.positive.astype(np.float32)
        weight = np.stack([likes, likes * at_such_times(queries)], axis=1)
        history, (known, *known_in) = (queries.indptr, queries.item), self._filled
        wanted = [_directions(self.fused, *history, weight), _recent(self.fused, *history, queries.positive)]
        cosines = products(self.fused, np.concatenate(wanted, axis=1), row, item)
        values = np.empty((len(item), len(self._parts)), np.float32)
        values[:, 0] = self.appeal[item]
        _fill(values[:, 1:3], cosines, known, item)
        for column, (vectors, there) in enumerate(zip(self.by_modality.values(), known_in, strict=True), 3):
            liked = _directions(vectors, *history, likes[:, None])
            _fill(values[:, column : column + 1], products(vectors, liked, row, item), there, item)
        _fill_largest(values[:, -1], cosines[:, 2:], known, item)
        return FeatureMatrix(tuple(self._parts), values, self._parts)

    @cached_property
    def _filled(self) -> list[Bools]:
        """Which items have a vector, bool [n] each: fused, then in each modality."""
        return [filled(vectors) for vectors in (self.fused, *self.by_modality.values())]

    @cached_property
    def _parts(self) -> dict[str, Part]:
        """Of the columns, in their order."""
        content = ("content_appeal", "content_similarity", "content_similarity_at_such_times")
        by_modality = {f"{modality}_similarity": _PART.get(modality, Part.CONTENT) for modality in self.by_modality}
        return dict.fromkeys(content, Part.CONTENT) | by_modality | {"content_similarity_to_recent": Part.CONTENT}

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        save_arrays(
            folder / "space.safetensors",
            {
                "fused": self.fused,
                "appeal": self.appeal,
                "predicted": self.predicted,
                "remembered": self.remembered,
                **{f"modality.{name}": vectors for name, vectors in self.by_modality.items()},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "space.safetensors")
        by_modality = {  # in the order in which they are learned from, so that no column changes its place
            modality: arrays[f"modality.{modality}"].astype(np.float32, copy=False)
            for modality in Modality
            if f"modality.{modality}" in arrays
        }
        fused, appeal, predicted, remembered = (
            arrays[name].astype(np.float32, copy=False) for name in ("fused", "appeal", "predicted", "remembered")
        )
        return cls(fused, by_modality, appeal, predicted, remembered)


@numba.njit(cache=True, nogil=True)
def _fill(found: Floats, cosines: Floats, known: Bools, item: Codes) -> None:
    """Fill [n, m] with the first m cosines, NaN for items without a vector; known: which have one, bool [n_items]."""
    for place in range(len(item)):
        for number in range(found.shape[1]):
            found[place, number] = cosines[place, number] if known[item[place]] else np.nan


@numba.njit(cache=True, nogil=True)
def _fill_largest(found: Floats, cosines: Floats, known: Bools, item: Codes) -> None:
    """Fill [n] with the largest of the cosines [n, m] that are not NaN."""
    for place in range(len(item)):
        largest = np.float32(np.nan)
        for cosine in cosines[place]:
            if known[item[place]] and not cosine <= largest and not np.isnan(cosine):
                largest = cosine
        found[place] = largest


def at_such_times(queries: Queries) -> Floats:
    """How much each event of the histories speaks of its query's time of day and week, float32 [m], 1 for the same.

    Half as much `HOURS_AROUND` hours away, and half as much again on a weekday for a weekend or the other way round.
    """
    return np.asarray(_at_such_times(queries.indptr, queries.occurred_at, queries.at))


@numba.njit(cache=True, nogil=True)
def _at_such_times(indptr: npt.NDArray[np.int64], occurred_at: Times, at: Times) -> Floats:
    found = np.empty(len(occurred_at), np.float32)
    for row in range(len(at)):
        for event in range(indptr[row], indptr[row + 1]):
            apart = abs(occurred_at[event] - at[row]) % _DAY_US / (_DAY_US / 24)
            hours = min(apart, 24 - apart) / HOURS_AROUND
            other_days = _is_weekend(occurred_at[event]) != _is_weekend(at[row])
            found[event] = np.exp2(-(hours**2) - other_days)
    return found


@numba.njit(cache=True, nogil=True)
def _is_weekend(at: int) -> bool:
    return (at // _DAY_US + 3) % 7 >= 5  # 1970-01-01 was a Thursday


@numba.njit(cache=True, nogil=True)
def _directions(vectors: Floats, indptr: npt.NDArray[np.int64], item: Codes, weight: Floats) -> Floats:
    """Directions of histories' weighed sums, float32 [q, w, d], NaN without any; weight: of events, float32 [m, w]."""
    found = np.zeros((len(indptr) - 1, weight.shape[1], vectors.shape[1]), np.float32)
    for row in range(len(found)):
        for number in range(weight.shape[1]):
            total = found[row, number]
            for event in range(indptr[row], indptr[row + 1]):
                counts, vector = weight[event, number], vectors[item[event]]
                if counts != 0:
                    for dimension in range(len(total)):
                        total[dimension] += counts * vector[dimension]
            squared = 0.0
            for value in total:
                squared += np.float64(value) ** 2
            length = np.float32(np.sqrt(squared))
            for dimension in range(len(total)):
                total[dimension] = total[dimension] / length if length > 1e-9 else np.float32(np.nan)
    return found


@numba.njit(cache=True, nogil=True)
def _recent(vectors: Floats, indptr: npt.NDArray[np.int64], item: Codes, positive: Bools) -> Floats:
    """Vectors of histories' latest liked items, float32 [q, RECENT, d], the latest first; NaN where there is none."""
    found = np.full((len(indptr) - 1, RECENT, vectors.shape[1]), np.float32(np.nan))
    for row in range(len(found)):
        place = 0
        for event in range(indptr[row + 1] - 1, indptr[row] - 1, -1):
            if positive[event] and place < RECENT:
                if np.any(vectors[item[event]] != 0):
                    found[row, place] = vectors[item[event]]
                place += 1
    return found
