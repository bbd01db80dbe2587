"""What a search may choose of each single model; the models of `grids`, whose configurations it tries first.

A new model is one entry here. Ranges reach well beyond the grids on both sides; a scale (a penalty, a half-life, a
number of things) is searched in its logarithm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ranking.candidates.als import Als, AlsConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.rankers.blend import BlendConfig
from ranking.strategy import grids
from ranking.strategy.space import Choice, Dimensions, Space, Span
from ranking.strategy.study import Params

Config = TypeVar("Config")

FEEDBACK: Final = Choice(tuple(one.value for one in Feedback))
MEMORY: Final[Dimensions] = {
    "memory.feedback": FEEDBACK,
    "memory.half_life_events": Span(1, 100, log=True, optional=True),
    "memory.others": Span(0, 1),
}


@dataclass(frozen=True)
class Model:
    """A single model with its space. first: points that are tried before any other, the grid's in its order.

    make: the unfitted model at a point.
    """

    space: Space[object]
    first: tuple[Params, ...]
    make: Callable[[Params], Generator]


def _model(
    make: Callable[[Config], Generator], plain: Config, grid: tuple[Config, ...], dimensions: Dimensions
) -> Model:
    typed, untyped = Space(plain, dimensions), Space[object](plain, dimensions)
    return Model(untyped, typed.points(grid), lambda params: make(typed.config(params)))


SPACES: Final[dict[str, Model]] = {
    Popular.name: _model(Popular, PopularConfig(), grids.POPULAR, {"feedback": FEEDBACK}),
    PopularWindowed.name: _model(
        PopularWindowed,
        PopularWindowedConfig(),
        grids.POPULAR_WINDOWED,
        {
            "window_days": Span(1, 1000, log=True, optional=True),
            "half_life_days": Span(1, 365, log=True, optional=True),
            "feedback": FEEDBACK,
        },
    ),
    ItemKnn.name: _model(
        ItemKnn,
        ItemKnnConfig(),
        grids.ITEM_KNN,
        {"neighbours": Span(10, 1000, log=True, whole=True), "shrink": Span(0, 100), **MEMORY},
    ),
    Ease.name: _model(
        Ease,
        EaseConfig(),
        grids.EASE,
        {
            "l2": Span(10, 3000, log=True),
            "pair_half_life": Span(3, 200, log=True, optional=True),
            "min_events": Span(1, 10, whole=True),
            **MEMORY,
        },
    ),
    Ials.name: _model(
        Ials,
        IalsConfig(),
        grids.IALS,
        {
            "factors": Span(16, 128, log=True, whole=True),
            "unobserved": Span(0.01, 3, log=True),
            "l2": Span(0.0005, 0.1, log=True),
            "nu": Span(0, 1),
            **MEMORY,
        },
    ),
    Als.name: _model(
        Als,
        AlsConfig(),
        grids.ALS,
        {
            "factors": Span(16, 128, log=True, whole=True),
            "regularization": Span(0.3, 300, log=True),
            "alpha": Span(0.3, 50, log=True),
            **MEMORY,
        },
    ),
    Covisitation.name: _model(
        Covisitation,
        CovisitationConfig(),
        grids.COVISITATION,
        {
            "window": Span(3, 200, log=True, whole=True),
            "pair_half_life": Span(1, 100, log=True),
            "backward": Span(0, 1),
            "source_power": Span(0, 1),
            "target_power": Span(0, 1),
            "memory.last": Span(5, 200, log=True, whole=True, optional=True),
            **MEMORY,
        },
    ),
}

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
