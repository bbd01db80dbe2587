"""All that a ranker knows beside the feature store and the generators: fitted on a log, asked about candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.candidates.surroundings import FITS, Surroundings
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.groups import Groups
from ranking.rankers.liking import Liking
from ranking.rankers.space import Space
from ranking.rankers.tastes import Tastes
from ranking.representation.content import ItemContent
from ranking.types import Codes, Interactions, Queries

_FITTING: Final = dict.fromkeys(FITS, Part.CONTEXT) | {"fashion_fit": Part.CONTENT}


@dataclass(frozen=True)
class Whereabouts:
    """What goes by where items lie: how near they are to what a user liked, and to what is wanted when and where."""

    space: Space
    surroundings: Surroundings

    @classmethod
    def fit(cls, train: Interactions, where: Space) -> Self:
        """From a log; where: item vectors learned from nothing later than `train`."""
        return cls(where, Surroundings.fit(train, where.fused))

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> tuple[FeatureMatrix, ...]:
        """What each of both tells of candidates (row of the query, ascending; item code)."""
        fitting = self.surroundings.features(row, item, queries, self.space.fused)
        return self.space.features(row, item, queries), FeatureMatrix(FITS, fitting, _FITTING)


@dataclass(frozen=True)
class Knowledge:
    """Where items lie, what is wanted when and where, what users are used to, like, and have in common."""

    space: Space
    surroundings: Surroundings
    tastes: Tastes
    liking: Liking
    groups: Groups

    @classmethod
    def fit(cls, train: Interactions, content: ItemContent, where: Space, users: pa.Table) -> Self:
        """From a log; where: item vectors learned from nothing later than `train`. users: their attributes."""
        return cls(
            where,
            Surroundings.fit(train, where.fused),
            Tastes.fit(train, content),
            Liking.fit(train),
            Groups.fit(train, users),
        )

    def features(
        self, row: npt.NDArray[np.int64], item: Codes, queries: Queries, users: Sequence[str]
    ) -> tuple[FeatureMatrix, ...]:
        """What each part tells of candidates (row of the query, ascending; item code).

        users: id of each query's user, empty for an anonymous one.
        """
        return (
            *Whereabouts(self.space, self.surroundings).features(row, item, queries),
            self.tastes.features(row, item, queries),
            self.liking.features(row, item, queries),
            self.groups.features(row, item, users),
        )

    def save(self, folder: Path) -> None:
        """Write all parts into one folder."""
        self.space.save(folder)
        self.surroundings.save(folder)
        self.tastes.save(folder)
        self.liking.save(folder)
        self.groups.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(
            Space.load(folder),
            Surroundings.load(folder),
            Tastes.load(folder),
            Liking.load(folder),
            Groups.load(folder),
        )
