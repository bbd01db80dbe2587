"""The matrix that rankers learn from: named columns, each belonging to a part of the platform."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

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

    def __getitem__(self, name: str) -> Floats:
        """One column, float32 [n]; KeyError where there is none of this name."""
        return self.values[:, self._place[name]]

    @classmethod
    def of(cls, columns: dict[str, Floats], parts: dict[str, Part]) -> "FeatureMatrix":
        """From columns of equal length; their order stays."""
        by_column = np.concatenate(list(columns.values()), dtype=np.float32, casting="same_kind")
        # one copy into C order at the end: `column_stack` takes three times as long
        return cls(tuple(columns), np.ascontiguousarray(by_column.reshape(len(columns), -1).T), parts)

    @classmethod
    def nothing(cls, n: int) -> "FeatureMatrix":
        """No columns of n rows."""
        return cls((), np.empty((n, 0), np.float32), {})

    def select(self, names: Sequence[str]) -> Floats:
        """Columns in the order asked for, float32 [n, len(names)]; KeyError names the first one that is missing.

        No copy where that is the order they are in.
        """
        if tuple(names) == self.names:
            return self.values
        return np.take(self.values, self._places(names), axis=1)  # C order, as the values are

    def replaced(self, others: "FeatureMatrix") -> "FeatureMatrix":
        """The matrix with other values of some of its columns; KeyError for one that it lacks."""
        values = self.values.copy()
        values[:, self._places(others.names)] = others.values
        return FeatureMatrix(self.names, values, self.parts)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    def _places(self, names: Sequence[str]) -> npt.NDArray[np.int64]:
        return np.array([self._place[name] for name in names], np.int64)

    def only(self, names: Sequence[str]) -> "FeatureMatrix":
        """The matrix of some columns, in the order asked for; errors and copies as of `select`."""
        return FeatureMatrix(tuple(names), self.select(names), {name: self.parts[name] for name in names})

    def without(self, part: Part) -> "FeatureMatrix":
        """The matrix without the columns of one part."""
        return self.only([name for name in self.names if self.parts[name] is not part])

    def columns(self) -> dict[str, Floats]:
        """Each column by its name, float32 [n]."""
        return dict(zip(self.names, self.values.T, strict=True))


def stack(matrices: Iterable[FeatureMatrix]) -> FeatureMatrix:
    """Matrices of the same columns, one under the other."""
    first, *others = matrices
    return FeatureMatrix(
        first.names, np.concatenate([first.values, *(other.select(first.names) for other in others)]), first.parts
    )


def beside(matrices: Sequence[FeatureMatrix]) -> FeatureMatrix:
    """Matrices of the same rows and of different columns, one beside the other."""
    parts: dict[str, Part] = {}
    for one in matrices:
        parts |= one.parts
    names = tuple(chain.from_iterable(one.names for one in matrices))
    return FeatureMatrix(names, np.concatenate([one.values for one in matrices], axis=1), parts)
