"""The hybrid: the whole recommendation path, from a query to a ranked list, on one screen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.columns import Columns
from ranking.artifacts import load_arrays, load_as, load_json, save_arrays, save_as
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import Generator, top_k
from ranking.candidates.shortlist import ShortlistConfig
from ranking.candidates.union import Watch, nobody, retrieve
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.closeness import closeness
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.slates import FeatureSource, Slates, describe, request_rows
from ranking.rankers.store_columns import Vocabulary
from ranking.strategy.gate import PLAIN, Gate
from ranking.strategy.generators import load_generators, save_generators
from ranking.strategy.routes import SHORT, Routes, RoutesConfig, Voice
from ranking.strategy.spread import Spread
from ranking.types import UNKNOWN, Bools, Codes, Floats, IdIndex, Queries, Times

RANKER_ALONE: Final = Routes(None, Gate.before(PLAIN), ())


@dataclass(frozen=True)
class HybridConfig:
    """Hyper-parameters of the path.

    candidates: items a query that the union hands to the ranker. reserved: generators that do not vote in the fusion
    but have so many places of their own; `choose_votes` adds those that shall not vote either. reserved_short: the
    same for histories of at most `SHORT` events, beside which popularity finds more (recall@200 after one event on
    MovieLens 100K .57, before .50). windows: how many past divisions of the log the ranker learns from (two gave 2.7 %
    more NDCG than one on MovieLens 100K, a third nothing). shortlist: of large catalogues. routes: of short histories.
    """

    candidates: int = 200
    reserved: dict[str, int] = field(
        default_factory=lambda: {
            "popular_windowed": 0,
            "popular": 0,
            "sequel": 0,
            "fitting": 100,  # there where events tell of devices or places
            "cold_start": 5,
            "scarce": 40,
        }
    )
    reserved_short: dict[str, int] = field(
        default_factory=lambda: {
            "aligned": 30,
            "aligned_recent": 0,
            "popular_windowed": 40,
            "popular": 60,
            "sequel": 0,
            "fitting": 40,
            "cold_start": 10,
            "scarce": 5,
        }
    )
    windows: int = 2
    shortlist: ShortlistConfig = field(default_factory=ShortlistConfig)
    ranker: BlendConfig = field(default_factory=BlendConfig)
    routes: RoutesConfig = field(default_factory=RoutesConfig)


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
        routes: Routes | None = None,
    ) -> None:
        self.config = config
        self.items = items
        self.created_at = created_at
        self.generators = generators
        self.knowledge = knowledge
        self.vocabulary = vocabulary
        self.ranker = ranker
        self.routes = RANKER_ALONE if routes is None else routes

    def recommend(self, queries: Queries, features: FeatureSource, *, users: IdIndex, k: int) -> Ranked:
        """The k best items of each query that its history does not hold. users: whom the queries' codes mean."""
        candidates = self.retrieve(queries)
        stored = features(request_rows(candidates, queries, users, self.items))
        return self.order(candidates, queries, stored, k=k)

    def retrieve(self, queries: Queries, *, allowed: Bools | None = None, named: Codes | None = None) -> Candidates:
        """What the generators find for each query.

        allowed: bool [n_items], the only items to look among. named: int32 [m], items that are candidates anyway.
        """
        return find(self.generators, queries, self.config, created_at=self.created_at, allowed=allowed, named=named)

    def order(
        self, candidates: Candidates, queries: Queries, stored: pa.Table | Columns, *, k: int, spread: float = 0.0
    ) -> Ranked:
        """The k best candidates of each query. stored: their feature-store rows, in the order of `request_rows`.

        spread: as in `rank`.
        """
        close = closeness(self.generators, candidates.row, candidates.items, queries)
        slates = describe(
            candidates, queries, stored, close=close, knowledge=self.knowledge, vocabulary=self.vocabulary
        )
        return rank(slates, queries, self.ranker, k=k, routes=self.routes, spread=spread)

    def voice(self, queries: Queries) -> Voice | None:
        """The ranker that orders the answer to the first query; None where a single model does."""
        return self.routes.voice(int(queries.indptr[1] - queries.indptr[0]), self.ranker)

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder."""
        state = HybridState(self.config, self.items.ids, self.vocabulary)
        save_as(folder / "hybrid.json", state, HybridState)
        save_arrays(folder / "created_at.safetensors", {"created_at": self.created_at})
        save_generators(self.generators, folder)
        self.knowledge.save(folder)
        self.ranker.save(folder)
        self.routes.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; ArtifactError names the first file that is missing or damaged."""
        state = load_as(folder / "hybrid.json", HybridState)
        config = state.config
        if not _has_shortlist(folder):  # it learned from the whole catalogue
            config = replace(config, shortlist=ShortlistConfig(whole=len(state.items)))
        return cls(
            config,
            items=IdIndex(state.items),
            created_at=load_arrays(folder / "created_at.safetensors")["created_at"].astype(np.int64),
            generators=load_generators(folder),
            knowledge=Knowledge.load(folder),
            vocabulary=state.vocabulary,
            ranker=Blend.load(folder),
            routes=Routes.load(folder),
        )


def _has_shortlist(folder: Path) -> bool:
    """Whether a saved hybrid knows of shortlists, which the first releases did not."""
    state = load_json(folder / "hybrid.json")
    config = state.get("config") if isinstance(state, dict) else None
    return isinstance(config, dict) and "shortlist" in config


def find(
    generators: Sequence[Generator],
    queries: Queries,
    config: HybridConfig,
    *,
    created_at: Times,
    allowed: Bools | None = None,
    named: Codes | None = None,
    watch: Watch = nobody,
) -> Candidates:
    """The union's candidates, with the reserved places that short histories or the others have.

    allowed, named: as in `retrieve`; items are named for one query, or for many of histories of like lengths.
    """
    short = queries.lengths <= SHORT
    rows = [np.flatnonzero(short), np.flatnonzero(~short)]
    parts = [
        retrieve(
            generators,
            queries if len(some) == len(queries) else queries.take(some),
            k=config.candidates,
            created_at=created_at,
            reserved=reserved,
            allowed=allowed,
            named=named,
            watch=watch if watch is nobody else _of_rows(some, watch),
            config=config.shortlist,
        )
        for some, reserved in zip(rows, (config.reserved_short, config.reserved), strict=True)
        if len(some) or not len(queries)
    ]
    found = Candidates.stacked(parts)
    return found if len(parts) == 1 else found.take(np.argsort(np.concatenate(rows)))


def _of_rows(rows: npt.NDArray[np.int64], watch: Watch) -> Watch:
    """Shows a part of the queries under the rows that they have in the whole."""

    def shown(
        batch: npt.NDArray[np.int64], places: Mapping[str, Codes], reserved: Mapping[str, int], items: Codes | None
    ) -> None:
        watch(rows[batch], places, reserved, items)

    return shown


def rank(
    slates: Slates,
    queries: Queries,
    ranker: Voice,
    *,
    k: int,
    routes: Routes | None = None,
    spread: float = 0.0,
    said: Floats | None = None,
) -> Ranked:
    """Order slates by who is asked about histories of their length.

    spread: 0 to 1, how much is given up for showing more of the catalogue (`Spread`). said: as in `Routes.scores`.

    Without routes the ranker orders all but the answers to a query without history, which are what is popular of late:
    it has learned from users with a history and is worse than popularity for those without (on MovieLens 1M by two
    thirds).
    """
    routes = routes or RANKER_ALONE
    scores = routes.scores(slates, queries, ranker, said=said)
    if spread and routes.spread is not None:
        place, best = _spread(slates.candidates.item, scores, routes.spread, spread)
        place, best = place[:, :k], best[:, :k]
    else:
        place, best = top_k(scores, k)
    item = np.where(place == UNKNOWN, UNKNOWN, np.take_along_axis(slates.candidates.item, place, axis=1))
    return Ranked(item.astype(np.int32), best, place, slates)


def _spread(item: Codes, scores: Floats, prices: Spread, spread: float) -> tuple[Codes, Floats]:
    """All places in the order that spreading gives them, and their scores."""
    place, best = top_k(scores, scores.shape[1])
    items = np.where(place == UNKNOWN, UNKNOWN, np.take_along_axis(item, np.maximum(place, 0), axis=1))
    order = prices.order(items, best, spread=spread)
    return np.take_along_axis(place, order, axis=1), np.take_along_axis(best, order, axis=1)
