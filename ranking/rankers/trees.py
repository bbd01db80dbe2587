"""Gradient-boosted trees over slates: LightGBM, several seeds, two objectives, one score.

Source: Ke et al., LightGBM (2017); Burges, From RankNet to LambdaRank to LambdaMART (2010). Ours: each model's score is
standardised within the slate before models are added, so that objectives of different scales count alike.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.errors import ArtifactError
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.forest import Forest
from ranking.rankers.standardised import standardise
from ranking.rankers.tree_shap import Paths
from ranking.types import Bools, Floats

REFERENCE: Final = 20  # of TreeSHAP's cost, which grows with rows

Objective: TypeAlias = Literal["binary", "lambdarank"]


@dataclass(frozen=True)
class TreesConfig:
    """Strong regularisation: slates are many but users are few, and default settings overfit them.

    Measured on MovieLens-100K, NDCG@10 of the blend on the validation windows of P2 and P3, three pairs of seeds: 120
    trees at .08 .2398 and .1657, 60 at .15 .2392 and .1660 in half the time, 40 at .15 .2386 and .1645. Negatives near
    the top and a sample of the others had .17 to .20 where an even draw had .22: such slates no longer look like those
    to be ranked.
    """

    objectives: tuple[Objective, ...] = ("binary",)  # lambdarank instead of a second seed: within .5 % on three sets
    seeds: tuple[int, ...] = (0, 1)  # averaging two adds about .5 % NDCG beside the linear model
    trees: int = 60
    learning_rate: float = 0.15
    leaves: int = 15
    min_rows_in_leaf: int = 80
    negatives: float = 0.25  # share of the rows without a positive label that are learned from, drawn evenly
    feature_fraction: float = 0.3
    row_fraction: float = 0.7
    l2: float = 20.0
    threads: int = 2


@dataclass(frozen=True)
class TreesState:
    """What a saved model needs beside its boosters."""

    config: TreesConfig
    names: tuple[str, ...]


class Trees:
    """Fitted boosters; `names` are the columns that they read, in order."""

    def __init__(self, config: TreesConfig, names: tuple[str, ...], boosters: list[lgb.Booster]) -> None:
        self.config = config
        self.names = names
        self.boosters = boosters

    @classmethod
    def fit(cls, features: FeatureMatrix, labels: Bools, groups: npt.NDArray[np.int64], *, config: TreesConfig) -> Self:
        """Learn from slates (rows in slate order, `groups` int64 sizes); those without a positive are left out."""
        slate = np.repeat(np.arange(len(groups)), groups)
        hits = np.bincount(slate, labels, minlength=len(groups)) > 0
        sampled = np.random.default_rng(config.seeds[0]).random(len(labels)) < config.negatives
        rows = hits[slate] & (labels | sampled)
        values, wanted = features.values[rows], labels[rows].astype(np.float32)
        sizes = np.bincount(slate[rows], minlength=len(groups))[hits]

        names, params = list(features.names), _params(config) | {"num_threads": config.threads}
        binned = lgb.Dataset(values, wanted, group=sizes, feature_name=names, params=params)
        binned.construct()  # once for all: it takes as long as a booster's learning, which only reads it

        def train(objective: Objective, seed: int) -> lgb.Booster:
            params = _params(config) | {"objective": objective, "seed": seed}
            return lgb.train(params, binned, num_boost_round=config.trees)

        # One thread a booster: with another process on a core, LightGBM's own threads wait for each other
        # (60 trees: 6 s with one thread, 48 s with two).
        with ThreadPoolExecutor(config.threads) as pool:
            boosters = list(pool.map(train, *zip(*product(config.objectives, config.seeds), strict=True)))
        return cls(config, features.names, boosters)

    def score(self, features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> Floats:
        """Scores float32 [n], comparable within a slate only: the sum of each booster's slate-standardised margin."""
        margins = self.margins(features.select(self.names))
        return np.asarray(standardise(margins.T, groups).sum(axis=1), np.float32)

    def contributions(self, slate: FeatureMatrix, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """What each feature adds to the scores of some rows of one slate, float64 [rows, f], columns as `names`.

        Exact against the mean of `REFERENCE` rows spread over the slate, or all if it has no more: a row sums to its
        score less theirs. Source: Lundberg et al., TreeSHAP (2018), exact for a margin; standardising one shifts and
        divides, which its parts pass through.
        """
        values = slate.select(self.names)
        reference = np.linspace(0, len(values) - 1, min(len(values), REFERENCE)).astype(np.int64)
        asked = values[np.concatenate([rows, reference])]
        total = np.zeros((len(rows), len(self.names)))
        for paths, margins in zip(self._paths, self.margins(values), strict=True):
            deviation = np.std(margins)
            if deviation > 1e-12:
                parts = paths.added(asked)
                total += (parts[: len(rows)] - parts[len(rows) :].mean(axis=0)) / deviation
        return total

    def margins(self, values: Floats) -> npt.NDArray[np.float64]:
        """Every booster's margins, float64 [boosters, n]; values: float32 [n, f], columns as `names`."""
        return self._forest.margins(values)

    @cached_property
    def _forest(self) -> Forest:
        return Forest.of(self.boosters)

    @cached_property
    def _paths(self) -> list[Paths]:
        return [Paths.of(booster) for booster in self.boosters]

    def prepare(self) -> None:
        """Compile what is compiled, so that the first request need not."""
        nothing = np.empty((0, len(self.names)), np.float32)
        self.margins(nothing)
        for paths in self._paths:
            paths.added(nothing)

    def save(self, folder: Path) -> None:
        """Write the boosters as LightGBM text and the rest as JSON."""
        save_as(folder / "trees.json", TreesState(self.config, self.names), TreesState)
        for number, booster in enumerate(self.boosters):
            booster.save_model(folder / f"trees-{number}.txt")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        state = load_as(folder / "trees.json", TreesState)
        count = len(state.config.objectives) * len(state.config.seeds)
        try:
            boosters = [lgb.Booster(model_file=str(folder / f"trees-{number}.txt")) for number in range(count)]
        except lgb.basic.LightGBMError as error:
            raise ArtifactError(f"{folder}: not a LightGBM model ({error}); build the release again") from error
        model = cls(state.config, state.names, boosters)
        model.prepare()
        return model


def _params(config: TreesConfig) -> dict[str, object]:
    return {
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows_in_leaf,
        "feature_fraction": config.feature_fraction,
        "bagging_fraction": config.row_fraction,
        "bagging_freq": 1,
        "lambda_l2": config.l2,
        "lambdarank_truncation_level": 30,
        "max_bin": 63,
        "bin_construct_sample_cnt": 20_000,  # rows that edges of bins are found from; of 200,000 it takes twice as long
        "data_random_seed": 0,  # of what the boosters share
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbose": -1,
    }
