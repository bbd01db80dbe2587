"""What the neural ranker reads: columns as numbers of like size, against all rows and within the slate, and codes."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.rankers.features import FeatureMatrix
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.standardised import standardise_known
from ranking.types import Bools, Floats

Groups = npt.NDArray[np.int64]

FARTHEST: Final = 5.0  # deviations from the mean at which a number is cut off: counts have long tails


@dataclass(frozen=True)
class Scaling:
    """How columns become inputs: numbers of f columns, and codes of c.

    mean, deviation: float32 [f]. missing: bool [f], columns with a flag of their own. sizes: codes of each category,
    one more than was seen: 0 is the unknown. rating: mean and deviation of the ratings.
    """

    numbers: tuple[str, ...]
    mean: Floats
    deviation: Floats
    missing: Bools
    sizes: tuple[int, ...]
    rating: tuple[float, float]

    @classmethod
    def fit(cls, features: FeatureMatrix, ratings: Floats, config: NeuralConfig) -> Self:
        """From the rows to learn from."""
        names = tuple(name for name in features.names if name not in config.categories)
        values = features.select(names).astype(np.float64)
        known = ~np.isnan(values)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, values, 0).sum(axis=0) / count
        deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(axis=0) / count)
        codes = np.nan_to_num(features.select(config.categories), nan=-1)
        sizes = tuple((codes.max(axis=0, initial=-1) + 2).astype(int).tolist())
        told = ratings[~np.isnan(ratings)].astype(np.float64)
        rating = (float(told.mean()), max(float(told.std()), 1e-6)) if len(told) else (0.0, 1.0)
        missing: Bools = np.asarray(~known.all(axis=0), bool)
        return cls(names, mean.astype(np.float32), deviation.astype(np.float32), missing, sizes, rating)

    def inputs(self, features: FeatureMatrix, groups: Groups, config: NeuralConfig) -> tuple[Floats, Groups]:
        """Numbers float32 [n, (1 or 2) f + flags] and codes int64 [n, c]."""
        values = features.select(self.numbers)
        scaled = (values - self.mean) / np.where(self.deviation > 1e-9, self.deviation, np.inf)
        parts = [np.clip(np.nan_to_num(scaled, nan=0, posinf=FARTHEST, neginf=-FARTHEST), -FARTHEST, FARTHEST)]
        if config.in_slates:
            parts.append(np.clip(standardise_known(values, groups), -FARTHEST, FARTHEST))
        parts.append(np.isnan(values[:, self.missing]).astype(np.float32))
        codes = np.nan_to_num(features.select(config.categories), nan=-1).astype(np.int64) + 1
        codes[codes >= np.array(self.sizes, np.int64)] = 0
        return np.hstack(parts).astype(np.float32), np.maximum(codes, 0)

    def width(self, config: NeuralConfig) -> int:
        """How many numbers come in."""
        return len(self.numbers) * (2 if config.in_slates else 1) + int(self.missing.sum())

    def column_of(self, config: NeuralConfig) -> tuple[list[str], list[str]]:
        """The column that each number, and each coordinate of the embedded codes, tells of."""
        told = [*self.numbers] * (2 if config.in_slates else 1)
        flags = [name for name, flagged in zip(self.numbers, self.missing, strict=True) if flagged]
        return [*told, *flags], [name for name in config.categories for _ in range(config.embedding)]
