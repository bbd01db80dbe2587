"""How the hybrid is fitted: on past divisions of the log, as the ranker will meet the future.

The log is divided by one protocol, its training part again, and so on. On each division the generators learn from
the earlier part alone and propose candidates for the moment of the division; what came after labels them. So the
ranker learns from slates as they would have been, never from random negatives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from ranking.candidates.generator import Generator
from ranking.candidates.union import Candidates, retrieve
from ranking.rankers.features import FeatureMatrix, stack
from ranking.rankers.slates import FeatureSource, Slates, describe, request_rows
from ranking.rankers.space import Space
from ranking.rankers.store_columns import Vocabulary, learn_vocabulary
from ranking.rankers.trees import Trees, TreesConfig
from ranking.splits import Protocol, Split, split
from ranking.strategy.generators import GeneratorConfigs, fit_generators
from ranking.strategy.hybrid import HybridConfig
from ranking.types import Interactions, Times

SpaceOf: TypeAlias = Callable[[Interactions], Space]
"""Item vectors aligned on these interactions and nothing later."""


@dataclass(frozen=True)
class Window:
    """One division of the log, what the generators proposed for it, and the features of that moment."""

    split: Split
    space: Space
    generators: tuple[Generator, ...]
    candidates: Candidates
    stored: pa.Table

    def slates(self, vocabulary: Vocabulary) -> Slates:
        """Candidates with all their features."""
        return describe(self.candidates, self.split.queries, self.stored, where=self.space, vocabulary=vocabulary)


def divisions(log: Interactions, protocol: Protocol, count: int) -> list[Split]:
    """The latest division of the log, the latest one of its training part, and so on; none without a query."""
    found: list[Split] = []
    while len(found) < count:
        one = split(log, protocol)
        if not len(one.queries):
            break
        found.append(one)
        log = one.train
    return found


def open_window(
    division: Split,
    *,
    space: Space,
    configs: GeneratorConfigs,
    config: HybridConfig,
    created_at: Times,
    features: FeatureSource,
) -> Window:
    """Fit the generators on a division's training part and let them propose, with features as of each query."""
    train, queries = division.train, division.queries
    generators = fit_generators(train, configs, space=space, created_at=created_at)
    candidates = retrieve(generators, queries, k=config.candidates, created_at=created_at, reserved=config.reserved)
    stored = features(request_rows(candidates, queries, train.users, train.items))
    return Window(division, space, generators, candidates, stored)


def vocabulary_of(windows: Sequence[Window]) -> Vocabulary:
    """The strings of the windows' features."""
    return learn_vocabulary(pa.concat_tables([window.stored for window in windows]))


def fit_trees(
    slates: Sequence[Slates],
    divided: Sequence[Split],
    config: TreesConfig,
    *,
    view: Callable[[FeatureMatrix], FeatureMatrix] = lambda features: features,
) -> Trees:
    """Learn from slates and what came after them. view: what of the features may be seen (an ablation)."""
    features = stack(view(one.features) for one in slates)
    labels = np.concatenate([one.labels(its.relevant) for one, its in zip(slates, divided, strict=True)])
    groups = np.concatenate([one.groups for one in slates])
    return Trees.fit(features, labels, groups, config=config)
