"""All that a ranker knows beside the feature store and the generators: fitted on a log, asked about candidates."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.candidates.surroundings import Surroundings
from ranking.rankers import space
from ranking.rankers.features import Part
from ranking.rankers.groups import Groups
from ranking.rankers.liking import Liking
from ranking.rankers.space import Space
from ranking.rankers.tastes import Tastes
from ranking.types import Codes, Floats, Interactions, ItemContent, Queries

Columns: TypeAlias = dict[str, Floats]  # float32 [n], a row a candidate


@dataclass(frozen=True)
class Whereabouts:
    """What goes by where items lie: how near they are to what a user liked, and to what is wanted when and where."""

    space: Space
    surroundings: Surroundings

    @classmethod
    def fit(cls, train: Interactions, where: Space) -> Self:
        """From a log; where: item vectors learned from nothing later than `train`."""
        return cls(where, Surroundings.fit(train, where.fused))

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> tuple[Columns, dict[str, Part]]:
        """Columns for candidates (row of the query, ascending; item code), and what each tells of."""
        placed = self.space.features(row, item, queries)
        fitting = self.surroundings.features(row, item, queries, self.space.fused)
        parts = {name: space.part_of(name) for name in placed}
        parts |= dict.fromkeys(fitting, Part.CONTEXT) | {"fashion_fit": Part.CONTENT}
        return placed | fitting, parts


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
        self, row: npt.NDArray[np.int64], item: Codes, queries: Queries, user: pa.ChunkedArray
    ) -> tuple[Columns, dict[str, Part]]:
        """Columns for candidates (row of the query, ascending; item code), and what each tells of.

        user: string [n], the id of each row's user, empty for an anonymous one.
        """
        placed, parts = Whereabouts(self.space, self.surroundings).features(row, item, queries)
        tastes = self.tastes.features(row, item, queries)
        liked = self.liking.features(row, item, queries)
        alike = self.groups.features(user, item)
        parts |= dict.fromkeys([*tastes, *liked, *alike], Part.BEHAVIOUR)
        return {**placed, **tastes, **liked, **alike}, parts

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
