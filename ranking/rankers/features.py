"""The matrix that rankers learn from: named columns, each belonging to a part of the platform."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ranking.types import Floats


class Part(StrEnum):
    """What a feature tells of; an ablation removes one part."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    BEHAVIOUR = "behaviour"
    CONTEXT = "context"
    CONTENT = "content"


@dataclass(frozen=True)
class FeatureMatrix:
    """Rows of numbers with names.

    names: f distinct names. values: float32 [n, f], NaN where a value is missing. parts: name -> Part for every name.
    """

    names: tuple[str, ...]
    values: Floats
    parts: dict[str, Part]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(cls, columns: dict[str, Floats], parts: dict[str, Part]) -> "FeatureMatrix":
        """From columns of equal length; their order stays."""
        by_column = np.concatenate(list(columns.values()), dtype=np.float32, casting="same_kind")
        # one copy into C order at the end: `column_stack` takes three times as long
        return cls(tuple(columns), np.ascontiguousarray(by_column.reshape(len(columns), -1).T), parts)

    def select(self, names: Sequence[str]) -> Floats:
        """Columns in the order asked for, float32 [n, len(names)]; KeyError names the first one that is missing.

        No copy where that is the order they are in.
        """
        if tuple(names) == self.names:
            return self.values
        place = {name: column for column, name in enumerate(self.names)}
        return np.take(self.values, [place[name] for name in names], axis=1)  # C order, as the values are

    def replaced(self, columns: Mapping[str, Floats]) -> "FeatureMatrix":
        """The matrix with other values, float32 [n], of some of its columns; KeyError for one that it lacks."""
        place = {name: column for column, name in enumerate(self.names)}
        values = self.values.copy()
        values[:, [place[name] for name in columns]] = np.stack(list(columns.values()), axis=1)
        return FeatureMatrix(self.names, values, self.parts)

    def without(self, part: Part) -> "FeatureMatrix":
        """The matrix without the columns of one part."""
        keep = [column for column, name in enumerate(self.names) if self.parts[name] is not part]
        names = tuple(self.names[column] for column in keep)
        return FeatureMatrix(names, np.take(self.values, keep, axis=1), {name: self.parts[name] for name in names})


def stack(matrices: Iterable[FeatureMatrix]) -> FeatureMatrix:
    """Matrices of the same columns, one under the other."""
    first, *others = matrices
    return FeatureMatrix(
        first.names, np.concatenate([first.values, *(other.select(first.names) for other in others)]), first.parts
    )
