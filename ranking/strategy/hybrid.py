"""The hybrid: the whole recommendation path, from a query to a ranked list, on one screen."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.candidates.generator import Generator, top_k
from ranking.candidates.popular import PopularWindowed
from ranking.candidates.union import Candidates, retrieve
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.closeness import closeness
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import FeatureSource, Slates, describe, request_rows
from ranking.rankers.store_columns import Vocabulary
from ranking.strategy.generators import load_generators, save_generators
from ranking.types import UNKNOWN, Codes, Floats, IdIndex, Queries, Times


@dataclass(frozen=True)
class HybridConfig:
    """Hyper-parameters of the path.

    candidates: items a query that the union hands to the ranker. reserved: generators that do not vote in the fusion
    but have so many places of their own. windows: how many past divisions of the log the ranker learns from (two
    gave 2.7 % more NDCG than one on MovieLens 100K, a third nothing).
    """

    candidates: int = 200
    reserved: dict[str, int] = field(
        default_factory=lambda: {
            "aligned": 30,
            "popular_windowed": 10,
            "cold_start": 10,
            "sequel": 0,
            "fitting": 100,  # there where events tell of devices or places
        }
    )
    windows: int = 2
    ranker: BlendConfig = field(default_factory=BlendConfig)


@dataclass(frozen=True)
class HybridState:
    """What a saved hybrid needs beside its parts."""

    config: HybridConfig
    items: tuple[str, ...]
    vocabulary: Vocabulary


@dataclass(frozen=True)
class Ranked:
    """Answers to q queries, best first. item: int32 [q, k], `UNKNOWN` where fewer; score: float32 [q, k].

    place: int64 [q, k], where each item stands among `slates.candidates`.
    """

    item: Codes
    score: Floats
    place: Codes
    slates: Slates


class Hybrid:
    """Generators find, the union keeps who found what, a ranker orders by behaviour, content and surroundings."""

    def __init__(
        self,
        config: HybridConfig,
        *,
        items: IdIndex,
        created_at: Times,
        generators: tuple[Generator, ...],
        knowledge: Knowledge,
        vocabulary: Vocabulary,
        ranker: Blend,
    ) -> None:
        self.config = config
        self.items = items
        self.created_at = created_at
        self.generators = generators
        self.knowledge = knowledge
        self.vocabulary = vocabulary
        self.ranker = ranker

    def recommend(self, queries: Queries, features: FeatureSource, *, users: IdIndex, k: int) -> Ranked:
        """The k best items of each query that its history does not hold. users: whom the queries' codes mean."""
        candidates = self.retrieve(queries)
        stored = features(request_rows(candidates, queries, users, self.items))
        return self.order(candidates, queries, stored, k=k)

    def retrieve(self, queries: Queries) -> Candidates:
        """What the generators find for each query."""
        return retrieve(
            self.generators,
            queries,
            k=self.config.candidates,
            created_at=self.created_at,
            reserved=self.config.reserved,
        )

    def order(self, candidates: Candidates, queries: Queries, stored: pa.Table, *, k: int) -> Ranked:
        """The k best candidates of each query. stored: their feature-store rows, in the order of `request_rows`."""
        row, _ = np.nonzero(candidates.item != UNKNOWN)
        close = closeness(self.generators, row, candidates.item[candidates.item != UNKNOWN], queries)
        slates = describe(
            candidates, queries, stored, close=close, knowledge=self.knowledge, vocabulary=self.vocabulary
        )
        return rank(slates, queries, self.ranker, k=k)

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder."""
        state = HybridState(self.config, self.items.ids, self.vocabulary)
        save_as(folder / "hybrid.json", state, HybridState)
        save_arrays(folder / "created_at.safetensors", {"created_at": self.created_at})
        save_generators(self.generators, folder)
        self.knowledge.save(folder)
        self.ranker.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; ArtifactError names the first file that is missing or damaged."""
        state = load_as(folder / "hybrid.json", HybridState)
        return cls(
            state.config,
            items=IdIndex(state.items),
            created_at=load_arrays(folder / "created_at.safetensors")["created_at"].astype(np.int64),
            generators=load_generators(folder),
            knowledge=Knowledge.load(folder),
            vocabulary=state.vocabulary,
            ranker=Blend.load(folder),
        )


def by_popularity(candidates: Candidates) -> Floats:
    """Scores float32 [q, k]: recent popularity's order, then, below 0, that of the fusion; -inf in the padding."""
    scores = candidates.fused - 1
    if PopularWindowed.name in candidates.generators:
        place = candidates.rank[:, :, candidates.generators.index(PopularWindowed.name)]
        scores = np.where(place > 0, 1 / np.maximum(place, 1), scores)
    return np.where(candidates.item == UNKNOWN, -np.inf, scores).astype(np.float32)


def rank(slates: Slates, queries: Queries, ranker: Blend, *, k: int) -> Ranked:
    """Order slates by the ranker; a query without history is answered by what is popular of late.

    The ranker has learned from users with a history and is worse than popularity for those without
    (on MovieLens 1M by two thirds), so it is not asked about them.
    """
    scores = slates.scatter(ranker.score(slates.features, slates.groups))
    newcomer = np.diff(queries.indptr) == 0
    scores[newcomer] = by_popularity(slates.candidates)[newcomer]
    place, best = top_k(scores, k)
    item = np.where(place == UNKNOWN, UNKNOWN, np.take_along_axis(slates.candidates.item, place, axis=1))
    return Ranked(item.astype(np.int32), best, place, slates)
