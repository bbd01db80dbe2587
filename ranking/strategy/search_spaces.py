"""What a search may choose of each single model; the models of `grids`, whose configurations it tries first.

A new model is one entry here. Ranges reach well beyond the grids, and what is tried around their winners, on both
sides; a scale (a penalty, a half-life, a number of things) is searched in its logarithm.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from ranking.candidates.als import Als, AlsConfig
from ranking.candidates.bm25 import Bm25, Bm25Config
from ranking.candidates.bpr import Bpr, BprConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.fusion import Fusion
from ranking.candidates.fusion_config import FusionConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.rp3beta import Rp3Beta, Rp3BetaConfig
from ranking.candidates.sasrec import Sasrec
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.slim import Slim, SlimConfig
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.rankers.blend import BlendConfig
from ranking.strategy import grids
from ranking.strategy.space import Choice, Dimensions, Space, Span
from ranking.strategy.study import Params
from ranking.strategy.tuning import next_config

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")

FEEDBACK: Final = Choice(tuple(one.value for one in Feedback))
LEARNED: Final[Dimensions] = {
    "memory.feedback": FEEDBACK,
    "memory.train_days": Span(7, 365, log=True, optional=True),
}
MEMORY: Final[Dimensions] = {
    **LEARNED,
    "memory.half_life_events": Span(1, 100, log=True, optional=True),
    "memory.others": Span(0, 1),
}
NEIGHBOURS: Final = Span(10, 1000, log=True, whole=True)
FACTORS: Final = Span(16, 128, log=True, whole=True)


@dataclass(frozen=True)
class Model:
    """A single model with its space.

    first: after points that were tried, with their NDCG, the next one of those that every home tries (the argument:
    how many), then of the rest of the grid; None when these are over. make: the unfitted model at a point.
    """

    space: Space[object]
    first: Callable[[Sequence[tuple[Params, float]], int], Params | None]
    make: Callable[[Params], Generator]


def _model(
    kind: Callable[[Config], Generator], name: str, plain: Config, grid: tuple[Config, ...], dimensions: Dimensions
) -> Model:
    space = Space(plain, dimensions)

    def first(points: Sequence[tuple[Params, float]], budget: int) -> Params | None:
        tried = [(space.config(params), found) for params, found in points]
        config = next_config(tried, grid, lambda best: grids.steps(name, best), budget=budget)
        if config is None:
            config = next_config(tried, grid, lambda best: (), budget=len(tried) + 1)
        return None if config is None else space.params(config)

    return Model(Space[object](plain, dimensions), first, lambda params: kind(space.config(params)))


SPACES: Final[dict[str, Model]] = {
    Popular.name: _model(Popular, Popular.name, PopularConfig(), grids.POPULAR, {"feedback": FEEDBACK}),
    PopularWindowed.name: _model(
        PopularWindowed,
        PopularWindowed.name,
        PopularWindowedConfig(),
        grids.POPULAR_WINDOWED,
        {
            "window_days": Span(1, 2000, log=True, optional=True),
            "half_life_days": Span(1, 500, log=True, optional=True),
            "feedback": FEEDBACK,
        },
    ),
    ItemKnn.name: _model(
        ItemKnn,
        ItemKnn.name,
        ItemKnnConfig(),
        grids.ITEM_KNN,
        {"neighbours": NEIGHBOURS, "shrink": Span(0, 100), **MEMORY},
    ),
    Ease.name: _model(
        Ease,
        Ease.name,
        EaseConfig(),
        grids.EASE,
        {
            "l2": Span(5, 3000, log=True),
            "pair_half_life": Span(3, 200, log=True, optional=True),
            "min_events": Span(1, 10, whole=True),
            **MEMORY,
        },
    ),
    Ials.name: _model(
        Ials,
        Ials.name,
        IalsConfig(),
        grids.IALS,
        {
            "factors": FACTORS,
            "unobserved": Span(0.01, 3, log=True),
            "l2": Span(0.0005, 0.3, log=True),
            "nu": Span(0, 1),
            **MEMORY,
        },
    ),
    Als.name: _model(
        Als,
        Als.name,
        AlsConfig(),
        grids.ALS,
        {
            "factors": FACTORS,
            "regularization": Span(0.1, 1000, log=True),
            "alpha": Span(0.3, 50, log=True),
            **MEMORY,
        },
    ),
    Covisitation.name: _model(
        Covisitation,
        Covisitation.name,
        CovisitationConfig(),
        grids.COVISITATION,
        {
            "window": Span(3, 200, log=True, whole=True),
            "pair_half_life": Span(0.5, 200, log=True),
            "backward": Span(0, 1),
            "source_power": Span(0, 1),
            "target_power": Span(0, 1),
            "memory.last": Span(5, 200, log=True, whole=True, optional=True),
            **MEMORY,
        },
    ),
    Bm25.name: _model(
        Bm25,
        Bm25.name,
        Bm25Config(),
        grids.BM25,
        {"k1": Span(0.2, 10, log=True), "b": Span(0, 1), "neighbours": NEIGHBOURS, **MEMORY},
    ),
    Rp3Beta.name: _model(
        Rp3Beta,
        Rp3Beta.name,
        Rp3BetaConfig(),
        grids.RP3BETA,
        {"alpha": Span(0.2, 2), "beta": Span(0, 1.2), "neighbours": NEIGHBOURS, **MEMORY},
    ),
    Slim.name: _model(
        Slim,
        Slim.name,
        SlimConfig(),
        grids.SLIM,
        {
            "l1": Span(0.03, 30, log=True),
            "l2": Span(1, 500, log=True),
            "neighbours": Span(20, 200, log=True, whole=True),
            "min_events": Span(1, 10, whole=True),
            **MEMORY,
        },
    ),
    UserKnn.name: _model(
        UserKnn,
        UserKnn.name,
        UserKnnConfig(),
        grids.USER_KNN,
        {"neighbours": NEIGHBOURS, "shrink": Span(0, 100), "power": Span(0.5, 4), "rarity": Span(0, 1), **MEMORY},
    ),
    Bpr.name: _model(
        Bpr,
        Bpr.name,
        BprConfig(),
        grids.BPR,
        {
            "factors": FACTORS,
            "learning_rate": Span(0.005, 0.2, log=True),
            "regularization": Span(0.001, 0.5, log=True),
            "iterations": Span(20, 200, log=True, whole=True),
            **MEMORY,
        },
    ),
    Fusion.name: _model(
        Fusion,
        Fusion.name,
        FusionConfig(),
        grids.FUSION,
        {
            "dim": Span(8, 128, log=True, whole=True),
            "hidden": Span(16, 256, log=True, whole=True),
            "negatives": Span(1, 8, whole=True),
            "epochs": Span(2, 30, log=True, whole=True),
            "learning_rate": Span(1e-4, 0.05, log=True),
            **LEARNED,
        },
    ),
}
SEQUENTIAL: Final[dict[str, Model]] = {
    Sasrec.name: _model(
        Sasrec,
        Sasrec.name,
        SasrecConfig(),
        grids.SASREC,
        {
            "dim": Choice((16, 32, 64, 128)),
            "length": Span(20, 200, log=True, whole=True),
            "dropout": Span(0, 0.6),
            "epochs": Span(5, 40, log=True, whole=True),
            "learning_rate": Span(1e-4, 5e-3, log=True),
            **LEARNED,
        },
    )
}
"""What takes minutes, and is not searched: its trials are those that every home makes that asks for it."""

RANKER: Final[Space[BlendConfig]] = Space(
    BlendConfig(),
    {
        "trees.trees": Span(40, 240, log=True, whole=True),
        "trees.learning_rate": Span(0.02, 0.2, log=True),
        "trees.leaves": Span(6, 64, log=True, whole=True),
        "trees.min_rows_in_leaf": Span(20, 400, log=True, whole=True),
        "trees.feature_fraction": Span(0.1, 0.8),
        "trees.row_fraction": Span(0.4, 1),
        "trees.l2": Span(1, 200, log=True),
        "linear.l2": Span(10, 3000, log=True),
    },
)
