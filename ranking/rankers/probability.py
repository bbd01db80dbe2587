"""How likely a candidate is to be chosen: trees learn it on earlier slates, later ones say how far to believe them."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.rankers.calibration import Calibration, Method
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.trees import Trees, TreesConfig
from ranking.types import Bools

Rows: TypeAlias = tuple[FeatureMatrix, Bools, npt.NDArray[np.int64]]
"""Features, labels and group sizes of slates."""


@dataclass(frozen=True)
class Probability:
    """Trees of the binary objective, and what their margins mean."""

    trees: Trees
    calibration: Calibration

    @classmethod
    def fit(cls, earlier: Rows, later: Rows, *, config: TreesConfig, method: Method = "isotonic") -> Self:
        """earlier: slates to learn from. later: as `calibrated` takes them."""
        return cls.calibrated(Trees.fit(*earlier, config=replace(config, objectives=("binary",))), later, method=method)

    @classmethod
    def calibrated(cls, trees: Trees, later: Rows, *, method: Method = "isotonic") -> Self:
        """trees: of the binary objective. later: slates to calibrate on, all of their rows, hits or not."""
        return cls(trees, Calibration.fit(_margins(trees, later[0]), later[1], method=method))

    def predict(self, features: FeatureMatrix) -> npt.NDArray[np.float64]:
        """Probabilities float64 [n]; unlike a ranker's scores they need no slate."""
        return self.calibration.probability(_margins(self.trees, features))

    def save(self, folder: Path) -> None:
        """Write both into an existing folder of their own."""
        self.trees.save(folder)
        self.calibration.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        return cls(Trees.load(folder), Calibration.load(folder))


def _margins(trees: Trees, features: FeatureMatrix) -> npt.NDArray[np.float64]:
    """Mean over the boosters."""
    return np.asarray(np.mean(trees.margins(features.select(trees.names)), axis=0), np.float64)
