"""The rankers that are held against each other: what each of them sees and learns by, and its answers."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ranking.evaluation.report_types import HYBRID, RANKER_ALONE, SPREAD
from ranking.rankers.blend import BlendConfig
from ranking.rankers.slates import Slates
from ranking.strategy.fit import Window, fit_ranker
from ranking.strategy.hybrid import rank
from ranking.strategy.routes import Routes
from ranking.types import Codes, Floats


@dataclass(frozen=True)
class Variant:
    """A ranker under its name in the report.

    slates: what it sees of each window, the one to be asked first; made when they are wanted. led: by the routes; else
    the ranker is asked about everything.
    """

    name: str
    config: BlendConfig
    slates: Callable[[], Sequence[Slates]]
    led: bool = False


@dataclass(frozen=True)
class Answers:
    """What a model answers to the queries of the window that is asked, best first, [q, k]. fit_s: seconds."""

    model: str
    items: Codes
    scores: Floats
    fit_s: float


def answers_of(variant: Variant, windows: Sequence[Window], routes: Routes) -> list[Answers]:
    """Learn from all windows but the first and order the first.

    The hybrid answers without `routes`, and spread over the catalogue, as well.
    """
    divided = [window.division for window in windows]
    slates = variant.slates()
    started = time.perf_counter()
    ranker = fit_ranker(slates[1:], divided[1:], variant.config)
    fit_s = time.perf_counter() - started
    asked, queries, k = slates[0], divided[0].queries, slates[0].candidates.item.shape[1]
    said = ranker.score(asked.features, asked.groups)
    ranked = rank(asked, queries, ranker, k=k, routes=routes if variant.led else None, said=said)
    found = [Answers(variant.name, ranked.item, ranked.score, fit_s)]
    if variant.name == HYBRID:
        alone = rank(asked, queries, ranker, k=k, said=said)
        found += [Answers(RANKER_ALONE, alone.item, alone.score, fit_s), *_spread(found[0], routes)]
    return found


def _spread(ranked: Answers, routes: Routes) -> Iterator[Answers]:
    """The same lists, spread over the catalogue as far as they can be; nothing where routes cannot tell how."""
    if routes.spread is None:
        return
    items, scores = ranked.items, ranked.scores
    order = routes.spread.priced(items, scores).order(items, scores, spread=1.0)
    yield Answers(
        SPREAD,
        np.take_along_axis(items, order, axis=1),
        np.take_along_axis(scores, order, axis=1),
        ranked.fit_s,
    )
