"""The ranker: gradient-boosted trees, a linear model and, if wanted, a network, which count alike."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.linear import Linear, LinearConfig
from ranking.rankers.neural import Neural
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.standardised import standardise
from ranking.rankers.trees import REFERENCE, Trees, TreesConfig
from ranking.types import Bools, Floats

SHARES: Final = (1.0, 0.5, 0.25, 0.0)
DEPTH: Final = 10


@dataclass(frozen=True)
class BlendConfig:
    """Hyper-parameters of each voice. share: of the trees, against 1 of each other.

    neural: None leaves the network out. By four folds of users on window 1 of P2 it lifts NDCG@10 of the other voices
    by .6 to 1 %, which is within noise, and takes three times as long as both (docs/evaluation.md).
    """

    trees: TreesConfig = field(default_factory=TreesConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    share: float = 1.0
    neural: NeuralConfig | None = None


@dataclass(frozen=True)
class Lesson:
    """Slates to learn from: n rows, whether each was chosen, bool [n], and rows of each slate, int64 [q]."""

    features: FeatureMatrix
    labels: Bools
    groups: npt.NDArray[np.int64]

    def ndcg(self, scores: npt.NDArray[np.floating]) -> float:
        """Mean NDCG@10 of row scores over the slates that hold something chosen; 0 without any."""
        slate = np.repeat(np.arange(len(self.groups)), self.groups)
        order = np.lexsort((-scores, slate))  # slates stay where they are
        place = np.arange(len(slate)) - np.repeat(np.cumsum(self.groups) - self.groups, self.groups)
        gain = np.where(place < DEPTH, self.labels[order] / np.log2(place + 2), 0)
        chosen = np.bincount(slate, self.labels, minlength=len(self.groups)).astype(np.int64)
        best = np.cumsum(1 / np.log2(np.arange(2, DEPTH + 2)))[np.clip(chosen, 1, DEPTH) - 1]
        found = (np.bincount(slate, gain, minlength=len(self.groups)) / best)[chosen > 0]
        return float(found.mean()) if len(found) else 0.0


@dataclass(frozen=True)
class Blend:
    """score = share x mean of the trees' standardised scores + the others', standardised.

    A share of 1, as the linear model alone is as good as the trees: on validation windows NDCG@10 .226 against .223
    with lambdarank and binary as two voices beside the linear one (MovieLens 100K), .171 and .170 (ml-latest-small).
    """

    trees: Trees
    linear: Linear
    share: float = 1.0
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
            config.share,
            None if config.neural is None else Neural.fit(features, labels, groups, config=config.neural),
        )

    def score(self, features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> Floats:
        """Scores float32 [n], comparable within a slate only."""
        total = self.share / self._boosters * self.trees.score(features, groups).astype(np.float64)
        total += standardise(self.linear.score(features, groups).astype(np.float64), groups)
        if self.neural is not None:
            total += standardise(self.neural.score(features, groups).astype(np.float64), groups)
        return total.astype(np.float32)

    def contributions(self, slate: FeatureMatrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What each feature adds to the scores of some rows of one slate, float64 [rows, f], columns as `names`.

        Exact against the mean of `REFERENCE` rows spread over the slate: a row sums to its score less theirs.
        """
        added = self.share / self._boosters * self.trees.contributions(slate, rows)
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
        """Write all voices, and the share."""
        self.trees.save(folder)
        self.linear.save(folder)
        save_as(folder / "share.json", self.share, float)
        if self.neural is not None:
            self.neural.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        neural = Neural.load(folder) if (folder / "neural.json").exists() else None
        return cls(Trees.load(folder), Linear.load(folder), load_as(folder / "share.json", float), neural)


def share_by_test(older: Lesson, latest: Lesson, *, config: BlendConfig) -> float:
    """The share with which models of older slates order the latest best; the largest of equal ones."""
    model = Blend.fit(older.features, older.labels, older.groups, config=config)
    tried = {share: replace(model, share=share).score(latest.features, latest.groups) for share in SHARES}
    found = {share: latest.ndcg(scores) for share, scores in tried.items()}
    return max(SHARES, key=lambda share: found[share])
