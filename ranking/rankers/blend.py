"""The ranker: gradient-boosted trees, a linear model and, if wanted, a network, which count alike."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from ranking.rankers.features import FeatureMatrix
from ranking.rankers.linear import Linear, LinearConfig
from ranking.rankers.neural import Neural
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.trees import REFERENCE, Trees, TreesConfig, standardise
from ranking.types import Bools, Floats


@dataclass(frozen=True)
class BlendConfig:
    """Hyper-parameters of each voice.

    neural: None leaves the network out. By four folds of users on window 1 of P2 it lifts NDCG@10 of the other voices
    by .6 to 1 %, which is within noise, and takes three times as long as both (docs/evaluation.md).
    """

    trees: TreesConfig = field(default_factory=TreesConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    neural: NeuralConfig | None = None


@dataclass(frozen=True)
class Blend:
    """score = mean of the trees' standardised scores + the others', standardised.

    Halves, as the linear model alone is as good as the trees: on validation windows NDCG@10 .225 against .223 where
    each objective of the trees had a voice like the linear model's (MovieLens 100K), .136 against .137 (planted world).
    """

    trees: Trees
    linear: Linear
    neural: Neural | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, in order."""
        return self.trees.names

    @classmethod
    def fit(cls, features: FeatureMatrix, labels: Bools, groups: npt.NDArray[np.int64], *, config: BlendConfig) -> Self:
        """Learn from slates (rows in slate order, `groups` int64 sizes); those without a positive are left out."""
        return cls(
            Trees.fit(features, labels, groups, config=config.trees),
            Linear.fit(features, labels, groups, config=config.linear),
            None if config.neural is None else Neural.fit(features, labels, groups, config=config.neural),
        )

    def score(self, features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> Floats:
        """Scores float32 [n], comparable within a slate only."""
        total = self.trees.score(features, groups) / self._boosters
        total += standardise(self.linear.score(features, groups).astype(np.float64), groups)
        if self.neural is not None:
            total += standardise(self.neural.score(features, groups).astype(np.float64), groups)
        return total.astype(np.float32)

    def contributions(self, slate: FeatureMatrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What each feature adds to the scores of some rows of one slate, float64 [rows, f], columns as `names`.

        Exact against the mean of `REFERENCE` rows spread over the slate: a row sums to its score less theirs.
        """
        added = self.trees.contributions(slate, rows) / self._boosters
        reference = np.linspace(0, len(slate) - 1, min(len(slate), REFERENCE)).astype(np.int64)
        parts = self.linear.contributions(slate)
        deviation = float(np.std(parts.sum(axis=1)))
        if deviation > 1e-12:
            added += (parts[rows] - parts[reference].mean(axis=0)) / deviation
        if self.neural is not None:
            from ranking.rankers.neural_contributions import contributions  # torch: heavy, seldom wanted

            deviation = float(np.std(self.neural.score(slate, np.array([len(slate)])).astype(np.float64)))
            if deviation > 1e-12:
                added += contributions(self.neural, slate, rows, reference) / deviation
        return added

    @property
    def _boosters(self) -> int:
        return len(self.trees.boosters)

    def save(self, folder: Path) -> None:
        """Write all voices."""
        self.trees.save(folder)
        self.linear.save(folder)
        if self.neural is not None:
            self.neural.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        neural = Neural.load(folder) if (folder / "neural.json").exists() else None
        return cls(Trees.load(folder), Linear.load(folder), neural)
