"""More or less weight for what generators of one group say of the candidates, beside the ranker's order."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.candidates.candidates import Candidates
from ranking.rankers.standardised import standardise_rows

Values = npt.NDArray[np.float64]


class Group(StrEnum):
    """What a generator goes by."""

    POPULARITY = "popularity"
    CONTENT = "content"
    COLLABORATIVE = "collaborative"
    CONTEXT = "context"


GROUPS: Final[dict[str, Group]] = {
    "popular": Group.POPULARITY,
    "popular_windowed": Group.POPULARITY,
    "aligned": Group.CONTENT,
    "aligned_recent": Group.CONTENT,
    "aligned_session": Group.CONTENT,
    "cold_start": Group.CONTENT,
    "scarce": Group.CONTENT,
    "ease": Group.COLLABORATIVE,
    "ease_positive": Group.COLLABORATIVE,
    "ease_semantic": Group.COLLABORATIVE,
    "ease_sparse": Group.COLLABORATIVE,
    "ials": Group.COLLABORATIVE,
    "ials_scaled": Group.COLLABORATIVE,
    "covisitation": Group.COLLABORATIVE,
    "item_knn": Group.COLLABORATIVE,
    "user_knn": Group.COLLABORATIVE,
    "bpr": Group.COLLABORATIVE,
    "sequel": Group.COLLABORATIVE,
    "sasrec": Group.COLLABORATIVE,
    "fitting": Group.CONTEXT,
    "popular_here": Group.CONTEXT,
}
"""Of every generator of `GENERATORS`."""


@dataclass(frozen=True)
class Weights:
    """Of each group, 0 to 3; 1 leaves it as the ranker weighs it."""

    popularity: float = 1.0
    content: float = 1.0
    collaborative: float = 1.0
    context: float = 1.0

    def __bool__(self) -> bool:
        return self != UNWEIGHTED

    def of(self, group: Group) -> float:
        """One group's weight."""
        return float(getattr(self, group))


UNWEIGHTED = Weights()


def lifted(candidates: Candidates, row: int, weights: Weights) -> Values:
    """What weights add to the candidates of one query, in deviations of the slate's scores, float64 [n].

    The sum over groups of (weight - 1) x the mean standardised score by the group's generators, standardised again; a
    generator counts as 0 for what it does not offer. A group without a generator in the release adds nothing.
    """
    offered = candidates.item[row] >= 0
    total = np.zeros(int(offered.sum()))
    for group in Group:
        columns = [index for index, name in enumerate(candidates.generators) if GROUPS.get(name) is group]
        if weights.of(group) == 1 or not columns:
            continue
        said = [in_deviations(candidates.score[row, offered, index].astype(np.float64)) for index in columns]
        total += (weights.of(group) - 1) * in_deviations(np.mean(said, axis=0))
    return total


def in_deviations(scores: Values) -> Values:
    """Scores of mean 0 and deviation 1 over those that are numbers; 0 for the others, and where all are the same."""
    (found,) = standardise_rows(scores[None], np.isfinite(scores)[None])
    return np.asarray(found)
