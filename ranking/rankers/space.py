"""Where the items lie: the aligned space as a ranker sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, save_arrays
from ranking.candidates.products import products
from ranking.rankers.features import Part
from ranking.types import UNKNOWN, Bools, Codes, Floats, Queries, Times

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

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> dict[str, Floats]:
        """Columns float32 [n] for candidates (row of the query, ascending; item code), NaN where there is no vector."""
        here = _profile(self.fused, queries, at_such_times(queries))
        liked = np.stack([_profile(self.fused, queries), here, *_recent(self.fused, queries)], axis=1)
        cosines = _cosines(self.fused, liked, row, item)
        columns = {"content_appeal": self.appeal[item], "content_similarity": cosines[:, 0]}
        columns["content_similarity_at_such_times"] = cosines[:, 1]
        for modality, vectors in self.by_modality.items():
            profile = _profile(vectors, queries)[:, None]
            columns[f"{modality}_similarity"] = _cosines(vectors, profile, row, item)[:, 0]
        columns["content_similarity_to_recent"] = np.fmax.reduce(cosines[:, 2:], axis=1)
        return columns

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
        by_modality = {
            Modality(name.removeprefix("modality.")): array.astype(np.float32, copy=False)
            for name, array in arrays.items()
            if name.startswith("modality.")
        }
        fused, appeal, predicted, remembered = (
            arrays[name].astype(np.float32, copy=False) for name in ("fused", "appeal", "predicted", "remembered")
        )
        return cls(fused, by_modality, appeal, predicted, remembered)


def part_of(name: str) -> Part:
    """Which part of the platform a column of `Space.features` tells of."""
    return next((part for modality, part in _PART.items() if name == f"{modality}_similarity"), Part.CONTENT)


def _cosines(vectors: Floats, wanted: Floats, row: npt.NDArray[np.int64], item: Codes) -> Floats:
    """`products`, NaN for items without a vector."""
    found = products(vectors, wanted, row, item)
    found[~vectors[item].any(axis=1)] = np.nan
    return found


def at_such_times(queries: Queries) -> Floats:
    """How much each event of the histories speaks of its query's time of day and week, float32 [m], 1 for the same.

    Half as much `HOURS_AROUND` hours away, and half as much again on a weekday for a weekend or the other way round.
    """
    asked = queries.at[queries.row]
    apart = np.abs(queries.occurred_at - asked) % _DAY_US / (_DAY_US / 24)
    hours = np.minimum(apart, 24 - apart) / HOURS_AROUND
    other_days = _is_weekend(queries.occurred_at) != _is_weekend(asked)
    return np.asarray(np.exp2(-(hours**2) - other_days), np.float32)


def _is_weekend(at: Times) -> Bools:
    return np.asarray((at // _DAY_US + 3) % 7 >= 5)  # 1970-01-01 was a Thursday


def _profile(vectors: Floats, queries: Queries, weight: Floats | None = None) -> Floats:
    """Direction of what each query's user liked, float32 [q, d]; NaN without any. weight: of the histories' events."""
    counted = queries.positive.astype(np.float32) * (1 if weight is None else weight)
    total = queries.profiles(counted).times(vectors)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(np.divide(total, length, out=np.full_like(total, np.nan), where=length > 1e-9))


def _recent(vectors: Floats, queries: Queries) -> list[Floats]:
    """Vectors of each query's latest liked items, the latest first, float32 [q, d] each; NaN where there is none."""
    return [_placed(vectors, _latest_liked(queries, place)) for place in range(RECENT)]


def _placed(vectors: Floats, item: Codes) -> Floats:
    """Vectors of items, NaN for those without one and for `UNKNOWN`."""
    there = (item != UNKNOWN) & vectors[item].any(axis=1)
    return np.where(there[:, None], vectors[item], np.float32(np.nan))


def _latest_liked(queries: Queries, place: int) -> Codes:
    """Item code of each query's liked item that is `place` places before the latest, -1 where there is none."""
    row, item = queries.row[queries.positive], queries.item[queries.positive]
    counts = np.bincount(row, minlength=len(queries))
    last = np.cumsum(counts) - 1 - place
    there = counts > place
    found = np.full(len(queries), -1, np.int32)
    found[there] = item[last[there]]
    return found
