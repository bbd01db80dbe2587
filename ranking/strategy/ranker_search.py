"""A search for a better configuration of the ranker: it learns from the slates of one window and ranks the next one.

Both lie before the window that an evaluation asks about. The first trial is the default.
"""

import time
from typing import Final

import numpy as np

from ranking.metrics import PerQuery, hits_of, ndcg
from ranking.rankers.blend import BlendConfig
from ranking.rankers.slates import Slates
from ranking.splits import Split
from ranking.strategy.fit import fit_ranker
from ranking.strategy.hybrid import rank
from ranking.strategy.search_spaces import RANKER
from ranking.strategy.space import Space
from ranking.strategy.study import Journal, Params, digest
from ranking.strategy.tuning import K, best_of
from ranking.strategy.turns import Entrant, finished

NAME: Final = "ranker"
UNTYPED: Final = Space[object](RANKER.plain, RANKER.dimensions)
DEFAULT: Final = RANKER.params(BlendConfig())


def ranker_entrant(
    journal: Journal, asked: tuple[Slates, Split], past: tuple[Slates, Split], *, prefix: str, slates: str
) -> Entrant:
    """The ranker, measured on `asked` after learning from `past`.

    prefix: of the study's name, as `study_prefix` gives it. slates: changes when anything that a slate tells does.
    """

    def measure(params: Params) -> tuple[PerQuery, float, float]:
        start = time.perf_counter()
        ranker = fit_ranker([past[0]], [past[1]], RANKER.config(params))
        fitted = time.perf_counter()
        ranked = rank(asked[0], asked[1].queries, ranker, k=K)
        found = ndcg(hits_of(ranked.item, asked[1].relevant), np.diff(asked[1].relevant.indptr), K)
        return found, fitted - start, time.perf_counter() - fitted

    return Entrant(
        name=NAME,
        study=journal.study(f"{prefix}{digest([slates], [])}"),
        space=UNTYPED,
        first=lambda tried: None if tried else DEFAULT,
        reference=1,
        measure=measure,
    )


def chosen_ranker(journal: Journal, prefix: str) -> BlendConfig | None:
    """The winner of the latest study of that prefix that has one, None where there is none.

    What the single models are tuned to, and so the slates, may have changed since.
    """
    for name in reversed(journal.names()):
        trials = finished(journal.study(name), UNTYPED, 1) if name.startswith(prefix) else ()
        best = best_of(trials).config if trials else None
        if isinstance(best, BlendConfig):
            return best
    return None


def study_prefix(protocol: str, window: str, *, recipe: int) -> str:
    """Begins the name of every study of the ranker on one division of the log, whatever was tuned before it."""
    return f"{protocol}/{NAME}/{digest([window, str(recipe), repr(RANKER)], [])}/"
