"""How the hybrid is fitted: on past divisions of the log, as the ranker will meet the future.

The log is divided by one protocol, its training part again, and so on. On each division the generators learn from
the earlier part alone and propose candidates for the moment of the division; what came after labels them. So the
ranker learns from slates as they would have been, never from random negatives.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import Generator
from ranking.candidates.reach import Reach, Survey
from ranking.candidates.threads import two_at_once
from ranking.candidates.union import rescored
from ranking.rankers.blend import Blend, BlendConfig, Lesson, share_by_test
from ranking.rankers.closeness import closeness
from ranking.rankers.features import FeatureMatrix, Part, stack
from ranking.rankers.knowledge import Knowledge, Whereabouts
from ranking.rankers.slates import KEYS, FeatureSource, Slates, describe, moved, request_rows
from ranking.rankers.space import Space
from ranking.rankers.store_columns import Vocabulary, learn_vocabulary
from ranking.representation.alignment import Alignment
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.splits import Protocol, Split, split
from ranking.strategy.first_events import first_events, latecomers
from ranking.strategy.generators import GeneratorConfigs, fit_content_generators, fit_generators
from ranking.strategy.hybrid import HybridConfig, find
from ranking.strategy.routes import Routes, RoutesConfig, Told, learn_newcomers, only_long
from ranking.types import Interactions

# Windows of the protocol's own kind teach best, even if they are small. NDCG@10 under one cutoff: ml-latest-small .161
# by windows of 28 and 26 queries, .125 by each user's latest share (503, 505); MovieLens 100K .238 and .189
MIN_QUERIES: Final = 20

# Of few slates trees learn what held at that time alone. NDCG@10 on the validation window of MovieLens 100K under one
# cutoff, after 97 slates: linear model .215, trees .154, both alike .180; under P2, with ten times as many, all agree
FEW_SLATES: Final = 500


@dataclass(frozen=True)
class Window:
    """One division of the log, what the generators proposed for it, and the features of that moment.

    close: what the generators' `closeness` says, in the order of `request_rows`.
    stored: those rows with feature-store columns, or without them as long as nobody asked.
    reach: how much of what is relevant the generators found.
    """

    division: Split
    alignment: Alignment
    mapping: FactorMapping
    configs: GeneratorConfigs
    candidates: Candidates
    close: FeatureMatrix
    stored: pa.Table
    reach: Reach

    def slates(self, content: ItemContent, users: pa.Table, vocabulary: Vocabulary) -> Slates:
        """Candidates with all their features; users: their attributes."""
        where = place_items(self.alignment, self.mapping, content)
        knowledge = Knowledge.fit(self.division.train, content, where, users)
        queries = self.division.queries
        return describe(
            self.candidates, queries, self.stored, close=self.close, knowledge=knowledge, vocabulary=vocabulary
        )

    def blind(self, slates: Slates, content: ItemContent, modality: Modality) -> Slates:
        """The window's slates where a modality is not looked at: items lie where the others put them."""
        train, queries, created_at = self.division.train, self.division.queries, content.created_at
        where = place_items(self.alignment, self.mapping, content, without=frozenset({modality}))
        again = fit_content_generators(train, self.configs, space=where, created_at=created_at)
        candidates = rescored(self.candidates, again, queries, created_at=created_at)
        names = [one.name for one in again]
        left = slates.features.without(Part(modality.value))
        seen = replace(slates, features=left)
        return moved(seen, candidates, queries, generators=names, where=Whereabouts.fit(train, where))

    def joined(self, features: FeatureSource) -> Self:
        """The window with the feature-store columns that were asked for."""
        return replace(self, stored=features(self.stored))

    def save(self, folder: Path) -> None:
        """Write all but the division, which a log gives again, and the factor mapping, which other windows share."""
        self.alignment.save(folder)
        save_as(folder / "configs.json", self.configs, GeneratorConfigs)
        self.candidates.save(folder)
        save_arrays(folder / "closeness.safetensors", self.close.columns())
        pq.write_table(self.stored, folder / "stored.parquet")
        save_as(folder / "reach.json", self.reach, Reach)

    @classmethod
    def load(cls, folder: Path, division: Split, mapping: FactorMapping) -> Self:
        """Read what `save` wrote."""
        configs = load_as(folder / "configs.json", GeneratorConfigs)
        arrays = load_arrays(folder / "closeness.safetensors")
        columns = {name: arrays[name].astype(np.float32) for name in sorted(arrays)}
        close = FeatureMatrix.of(columns, dict.fromkeys(columns, Part.BEHAVIOUR))
        stored = pq.read_table(folder / "stored.parquet")
        candidates, reach = Candidates.load(folder), load_as(folder / "reach.json", Reach)
        return cls(division, Alignment.load(folder), mapping, configs, candidates, close, stored, reach)


def place_items(
    alignment: Alignment,
    mapping: FactorMapping,
    content: ItemContent,
    *,
    without: frozenset[Modality] = frozenset(),
) -> Space:
    """Where the alignment puts the items, and the audience that is predicted of each."""
    heads = alignment.modality_vectors(content)
    predicted = mapping.item_vectors(content, without=without)
    return Space(
        alignment.item_vectors(content, without=without),
        {modality: heads[modality] for modality in Modality if modality in heads and modality not in without},
        # the bias belongs to logits, which are cosines over the temperature
        alignment.item_bias(content, without=without) * alignment.config.temperature,
        predicted,
        mapping.history_vectors(predicted),
    )


def divisions(log: Interactions, protocol: Protocol, count: int) -> list[Split]:
    """The latest division of the log, the latest one of its training part, and so on.

    Where a protocol leaves fewer than `MIN_QUERIES` users on both sides of an inner division (one cutoff on a sparse
    log), each user's latest share is taken instead: it lies within the same training part. None is without a query.
    Users without a history are asked in the first only: a ranker learns nothing from them.
    """
    found: list[Split] = []
    while len(found) < count:
        one = split(log, protocol, newcomers=not found)
        if found and len(one.queries) < MIN_QUERIES:
            one = split(log, Protocol.P2)
        if not len(one.queries):
            break
        found.append(one)
        log = one.train
    return found


def open_window(
    division: Split,
    *,
    content: ItemContent,
    alignment: Alignment,
    mapping: FactorMapping,
    configs: GeneratorConfigs,
    config: HybridConfig,
    generators: Sequence[Generator] | None = None,
) -> Window:
    """Fit the generators on a division's training part and let them propose; features are still to be asked for.

    alignment, mapping: learned from nothing later than that training part. generators: given if they are fitted yet.
    """
    train, queries, created_at = division.train, division.queries, content.created_at
    if generators is None:
        space = place_items(alignment, mapping, content)
        generators = fit_generators(train, configs, space=space, created_at=created_at)
    survey = Survey(division.relevant, queries.lengths > 0, k=config.candidates)
    candidates = find(generators, queries, config, created_at=created_at, watch=survey.watch)
    close = closeness(generators, candidates.row, candidates.items, queries)
    rows = request_rows(candidates, queries, train.users, train.items)
    return Window(division, alignment, mapping, configs, candidates, close, rows, survey.reach())


def open_windows(
    divided: Sequence[Split],
    *,
    content: ItemContent,
    alignment: Alignment,
    mapping: FactorMapping,
    configs: GeneratorConfigs,
    config: HybridConfig,
    earliest: Sequence[Generator] | None = None,
) -> Iterator[Window]:
    """The window of each division in turn, as `open_window`, two at one time. earliest: generators of the last one."""

    def opened(division: Split) -> Window:
        return open_window(
            division,
            content=content,
            alignment=alignment,
            mapping=mapping,
            configs=configs,
            config=config,
            generators=earliest if division is divided[-1] else None,
        )

    return two_at_once(opened, divided)


def slates_of(windows: Sequence[Window], content: ItemContent, users: pa.Table, vocabulary: Vocabulary) -> list[Slates]:
    """Each window's slates, two windows at one time."""
    return list(two_at_once(lambda one: one.slates(content, users, vocabulary), windows))


def vocabulary_of(windows: Sequence[Window]) -> Vocabulary:
    """The strings of the windows' features."""
    return learn_vocabulary(pa.concat_tables([window.stored.drop_columns(list(KEYS)) for window in windows]))


def fit_ranker(
    slates: Sequence[Slates],
    divided: Sequence[Split],
    config: BlendConfig,
    *,
    view: Callable[[FeatureMatrix], FeatureMatrix] = lambda features: features,
) -> Blend:
    """Learn from slates, the latest first, and what came after them.

    Where they are few, what the trees count is tested: how well those of the older slates order the latest.
    view: what of the features may be seen (an ablation).
    """
    lessons = [
        Lesson(view(one.features), one.labels(its.relevant), one.groups)
        for one, its in zip(slates, divided, strict=True)
    ]
    whole = _together(lessons)
    if len(lessons) > 1 and len(whole.groups) < FEW_SLATES:
        config = replace(config, share=share_by_test(_together(lessons[1:]), lessons[0], config=config))
    return Blend.fit(whole.features, whole.labels, whole.groups, config=config)


def _together(lessons: Sequence[Lesson]) -> Lesson:
    return Lesson(
        stack(one.features for one in lessons),
        np.concatenate([one.labels for one in lessons]),
        np.concatenate([one.groups for one in lessons]),
    )


def newcomers(log: Interactions, config: RoutesConfig) -> Split | None:
    """The users who came last, after their first events, as the others' log was when the first of them came.

    None where so few can be asked that a ranker would learn nothing.
    """
    division = first_events(*latecomers(log, config.share))
    return division if len(np.unique(division.queries.user)) >= 2 * MIN_QUERIES else None


def fit_routes(
    slates: Sequence[Slates],
    divided: Sequence[Split],
    first: tuple[Slates, Split] | None,
    config: HybridConfig,
    *,
    earlier: Blend | None = None,
) -> Routes:
    """Learn who is asked about which length of a history, from slates that the rankers did not learn from.

    slates, divided: the windows that the ranker learns from, the latest first. earlier: a ranker of all but the latest,
    by which it is judged; fitted if it is not given. first: what `newcomers` gave, where it gave anything.
    """
    told, committee = [], None
    if first is not None:
        committee, short = learn_newcomers(*first, config.routes)
        told.append(short)
    if len(slates) > 1:
        earlier = earlier or fit_ranker(slates[1:], divided[1:], config.ranker)
        long = Told(slates[0], divided[0], earlier.score(slates[0].features, slates[0].groups))
        told.append(long if committee is None else only_long(long))
        return Routes.learn(committee, told).spreading(told[-1], earlier)
    return Routes.learn(committee, told)
