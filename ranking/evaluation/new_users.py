"""How well people are served whom nobody knows yet: after their first 0, 1, 3, 5 and 10 events.

A share of the users is held out whole (seeded). All models learn from the other users' events, of all times: as in a
division of users (ColdStartSplit), a model knows what others did after a new user's first visit. The feature store and
windowed popularity keep to what was before the moment that is asked about. Each held-out user is asked after the first
N events; relevant are the later positive items. The hybrid learns, chooses and is weighed on a further share of users,
held out of the others in the same way; the single model to beat is chosen there too, for each N.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.evaluation.significance import relative_ci95, resampled_means
from ranking.metrics import hits_of, ndcg
from ranking.rankers.slates import FeatureSource
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.splits import Split
from ranking.strategy.first_events import COUNTS, drawn_users, first_events
from ranking.strategy.fit import Window, open_window, vocabulary_of
from ranking.strategy.generators import GeneratorConfigs
from ranking.strategy.hybrid import HybridConfig, rank
from ranking.strategy.routes import Routes, learn_newcomers
from ranking.strategy.tuned import TunedModels
from ranking.types import Interactions

DEPTH: Final = 10
SHARE: Final = 0.2

Values = npt.NDArray[np.float64]


class Against(TypedDict):
    """A single model's NDCG@10 on the same queries, and the hybrid's / its - 1 with its interval over users."""

    model: str
    ndcg: float
    relative: float | None
    ci95: list[float] | None


class AfterEvents(TypedDict):
    """Means over the held-out users of all seeds who are asked after so many events.

    chosen: the single model that was best on each seed's validation users (the commonest is named); hindsight: the one
    that is best on these very users. models: NDCG@10 of all.
    """

    queries: int
    users: int
    hybrid: float
    chosen: Against
    hindsight: Against
    models: dict[str, float]


class NewUsersReport(TypedDict):
    """after: number of events -> what was found. weights: of the gate, by number of events, for each seed."""

    share: float
    seeds: list[int]
    after: dict[str, AfterEvents]
    weights: list[dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Source:
    """All that is known beside the log. users: their attributes. features: as the feature store gives them."""

    content: ItemContent
    users: pa.Table
    features: FeatureSource
    alignment: AlignmentConfig
    views: Sequence[ItemContent] = ()


@dataclass(frozen=True)
class Measured:
    """One seed: NDCG@10 of each model for q queries, and who was asked after how many events."""

    user: npt.NDArray[np.int32]
    lengths: npt.NDArray[np.int64]
    ndcg: dict[str, Values]
    chosen: dict[int, str]
    weights: dict[str, dict[str, float]]


def measure_new_users(
    log: Interactions,
    source: Source,
    tuned: TunedModels,
    configs: GeneratorConfigs,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    share: float = SHARE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> NewUsersReport:
    """Measure the hybrid beside popularity and folded-in single models."""
    found = []
    for done, seed in enumerate(seeds):
        progress(done, len(seeds))
        found.append(_measure(log, source, tuned, configs, seed, share))
    asked = np.concatenate([one.lengths for one in found])
    return {
        "share": share,
        "seeds": list(seeds),
        "after": {str(count): _after(found, count) for count in COUNTS if count in asked},
        "weights": [one.weights for one in found],
    }


def single_models(tuned: TunedModels) -> dict[str, Generator]:
    """The tuned single models, and plain ones that suit short histories: nothing fades, all events or liked ones."""
    liked = Memory(feedback=Feedback.POSITIVE)
    return {
        **tuned.baselines(),
        "popular_all": Popular(PopularConfig()),
        "popular_liked": Popular(PopularConfig(Feedback.POSITIVE)),
        "popular_28d_liked": PopularWindowed(PopularWindowedConfig(28, feedback=Feedback.POSITIVE)),
        "item_knn_plain": ItemKnn(ItemKnnConfig()),
        "item_knn_liked": ItemKnn(ItemKnnConfig(memory=liked)),
        "ease_plain": Ease(EaseConfig()),
        "ease_liked": Ease(EaseConfig(memory=liked)),
        "ials_plain": Ials(IalsConfig(memory=Memory())),
        "ials_liked": Ials(IalsConfig(memory=liked)),
    }


def _measure(
    log: Interactions, source: Source, tuned: TunedModels, configs: GeneratorConfigs, seed: int, share: float
) -> Measured:
    config = HybridConfig()
    asked = first_events(log, drawn_users(log, share, seed=seed))
    inner = first_events(asked.train, drawn_users(asked.train, config.routes.share, seed=seed))
    windows = _windows([asked, inner], source, configs, config)
    vocabulary = vocabulary_of(windows[1:])
    slates = [window.slates(source.content, source.users, vocabulary) for window in windows]
    newcomer, told = learn_newcomers(slates[1], inner, config.routes)
    routes = Routes.learn(newcomer, [told])
    ranked = rank(slates[0], asked.queries, newcomer, k=DEPTH, routes=routes)
    found, valid = {"hybrid": _ndcg(ranked.item, asked)}, {}
    for name, model in single_models(tuned).items():
        valid[name] = _ndcg(full_ranking(model.fit(inner.train), inner.queries, k=DEPTH)[0], inner)
        found[name] = _ndcg(full_ranking(model.fit(asked.train), asked.queries, k=DEPTH)[0], asked)
    lengths = np.diff(inner.queries.indptr)
    chosen = {count: _best(valid, lengths == count) for count in COUNTS}
    return Measured(asked.queries.user, np.diff(asked.queries.indptr), found, chosen, routes.gate.shown(COUNTS))


def _windows(divided: Sequence[Split], source: Source, configs: GeneratorConfigs, config: HybridConfig) -> list[Window]:
    """Both divisions opened, with what is learned from content learned on the innermost training part."""
    innermost = divided[-1].train
    alignment = Alignment.fit(source.content, innermost, config=source.alignment, views=source.views)
    mapping = FactorMapping.fit(source.content, innermost)
    return [
        open_window(
            one, content=source.content, alignment=alignment, mapping=mapping, configs=configs, config=config
        ).joined(source.features)
        for one in divided
    ]


def _ndcg(items: npt.NDArray[np.int32], division: Split) -> Values:
    return ndcg(hits_of(items, division.relevant), np.diff(division.relevant.indptr), DEPTH)


def _best(values: dict[str, Values], mine: npt.NDArray[np.bool_]) -> str:
    return max(values, key=lambda name: float(values[name][mine].mean()) if mine.any() else 0.0)


def _after(found: Sequence[Measured], count: int) -> AfterEvents:
    """All seeds' queries after so many events; a user's values are averaged first, as seeds may share users."""
    mine = [one.lengths == count for one in found]
    user = np.concatenate([one.user[some] for one, some in zip(found, mine, strict=True)])
    people, which = np.unique(user, return_inverse=True)
    values = {
        name: _by_user(np.concatenate([one.ndcg[name][some] for one, some in zip(found, mine, strict=True)]), which)
        for name in found[0].ndcg
    }
    chosen = [one.ndcg[one.chosen[count]][some] for one, some in zip(found, mine, strict=True)]
    names = [one.chosen[count] for one in found]
    values["chosen"] = _by_user(np.concatenate(chosen), which)
    means = resampled_means(np.column_stack(list(values.values())))
    draws = dict(zip(values, means.T, strict=True))
    mean = {name: float(one.mean()) for name, one in values.items()}
    best = max((name for name in mean if name not in ("hybrid", "chosen")), key=lambda name: mean[name])
    return {
        "queries": len(user),
        "users": len(people),
        "hybrid": mean["hybrid"],
        "chosen": _against("chosen", max(names, key=names.count), mean, draws),
        "hindsight": _against(best, best, mean, draws),
        "models": {name: round(one, 4) for name, one in mean.items() if name != "chosen"},
    }


def _by_user(values: Values, which: npt.NDArray[np.int64]) -> Values:
    return np.bincount(which, values) / np.bincount(which)


def _against(key: str, name: str, mean: dict[str, float], draws: dict[str, Values]) -> Against:
    interval = relative_ci95(draws["hybrid"], draws[key])
    relative = mean["hybrid"] / mean[key] - 1 if mean[key] > 0 else None
    return {
        "model": name,
        "ndcg": mean[key],
        "relative": relative,
        "ci95": None if interval is None else list(interval),
    }
