"""The shape of what `trichord evaluate --json` prints; keys are only ever added."""

from typing import Final, NotRequired, TypedDict

K: Final = 10
HEADLINE: Final = "all"  # the slice of all users with a history
SLICES: Final = (  # in the order shown; defined in sql/targets.sql, the last three in slices.py
    "warm_items",
    "cold_items",
    "head_items",
    "tail_items",
    "rare_items",
    "new_users",
    "short_history",
    "medium_history",
    "long_history",
)
ABLATED: Final = (HEADLINE, "warm_items", "cold_items")  # slices that a removed part is judged on
LEAST_USERS: Final = 20  # of a slice by attribute or request; of fewer the warehouse knows, the report says nothing
HYBRID: Final = "hybrid"
SPREAD: Final = "hybrid_spread"  # the same at full spread: no baseline, and not the headline
WITHOUT: Final = "hybrid-"  # "hybrid-image" is the hybrid without images
RANKER_ALONE: Final = "hybrid-routes"  # without routes, as the hybrid without any other part is
REPLICATE: Final = "hybrid@"  # "hybrid@1" is the hybrid whose ranker learned with other seeds
ORACLE: Final = "oracle"  # knows a planted world's truth: a ceiling, no baseline

# Means over a slice's users, with `users` and `ci95` of NDCG@10 beside them. The last three tell of what is shown, None
# where nobody is shown anything, or no two items with content. seed_sd: of the hybrid's NDCG@10 over seeds.
Metrics = TypedDict(
    "Metrics",
    {
        "users": int,
        "ndcg@10": float,
        "ndcg@20": float,
        "recall@10": float,
        "recall@20": float,
        "recall@50": float,
        "recall@200": float,
        "mrr@10": float,
        "map@10": float,
        "hit@10": float,
        "coverage@10": float,
        "gini@10": float | None,
        "novelty@10": float | None,
        "popularity@10": float | None,
        "diversity@10": float | None,
        "fit_s": float | None,
        "validation_ndcg": float | None,
        "ci95": dict[str, list[float]],
        "seed_sd": NotRequired[float],
    },
)

# The change of NDCG@10 when a part is removed: negative where the part helps. relative, ci95: without / with - 1, None
# where NDCG@10 with it, or in a draw of users, is 0. difference, difference_ci95: without - with, always there.
Change = TypedDict(
    "Change",
    {
        "ndcg@10": float,
        "relative": float | None,
        "ci95": list[float] | None,
        "difference": float,
        "difference_ci95": list[float],
    },
)


class Ablation(Change):
    """The change for all, and with warm or cold items alone as relevant; absent where no such item is relevant."""

    warm_items: NotRequired[Change]
    cold_items: NotRequired[Change]


class Lift(TypedDict):
    """The hybrid's NDCG@10 / a baseline's - 1, its interval over the same users."""

    baseline: str
    relative: float | None
    ci95: list[float] | None


class Comparison(TypedDict):
    """The hybrid against one model over the same users.

    difference, relative: of NDCG@10, hybrid - model and hybrid / model - 1. better, worse: users. p: two-sided, of a
    paired randomisation test. p_holm: of all baselines together, None for what is no baseline.
    """

    difference: float
    difference_ci95: list[float]
    relative: float | None
    ci95: list[float] | None
    better: int
    worse: int
    p: float
    p_holm: float | None


# NDCG@10 of the hybrid whose ranker learned with each of several seeds; sd: of a sample, 0 for a single one.
Seeds = TypedDict("Seeds", {"seeds": list[int], "ndcg@10": list[float], "mean": float, "sd": float})


class Found(TypedDict):
    """What one generator gives to the candidates, as `ranking.candidates.reach.Gift` says."""

    recall: float
    marginal: float
    exclusive: int
    first: float


class Candidates(TypedDict):
    """What the union of generators holds of the relevant items, means over users: the rankers' ceiling.

    generators: by name. by_budget: `union` or a generator -> number of places -> recall.
    """

    recall: float
    size: float
    generators: dict[str, Found]
    by_budget: dict[str, dict[str, float]]


class ProtocolReport(TypedDict):
    """One protocol; users: evaluated ones with a history; items: the whole catalogue.

    hybrid_vs_best_baseline: against the one that is best on these very users, in hindsight.
    hybrid_vs_validated_baseline: against the one that was best where configurations were chosen. attributes: slices by
    attribute of the user or the request, of at least `LEAST_USERS` users: attribute -> slice -> model, ablations left
    out.
    """

    split: dict[str, str | int | float]
    users: int
    new_users: int
    items: int
    cold_item_share: float
    models: dict[str, Metrics]
    slices: dict[str, dict[str, Metrics]]
    attributes: dict[str, dict[str, dict[str, Metrics]]]
    ablation: dict[str, Ablation]
    comparisons: dict[str, Comparison]
    hybrid_vs_best_baseline: NotRequired[Lift]
    hybrid_vs_validated_baseline: NotRequired[Lift]
    seeds: NotRequired[Seeds]
    candidates: NotRequired[Candidates]


class Bin(TypedDict):
    """Rows of like prediction: the mean predicted and observed, and how many they are."""

    predicted: float
    observed: float
    n: int


class Point(TypedDict):
    """Rows are the candidates of the evaluated users; rate: share of them that are relevant.

    Of the neural fusion model rows are the pairs of `pairs.py`; accuracy, at a threshold of one half, is its alone.
    """

    rows: int
    rate: float
    auc: float
    logloss: float
    ece: float
    accuracy: float | None
    reliability: list[Bin]


class RatingPoint(TypedDict):
    """Rows are the held-out ratings of the evaluated users; rmse, mae: in the units of the ratings.

    difference: of the RMSE, model - biases: negative where the model is the better one; None of the models that are the
    reference, or stand before it.
    """

    rows: int
    users: int
    rmse: float
    mae: float
    difference: float | None
    difference_ci95: list[float] | None


class Report(TypedDict):
    """The whole evaluation of one data set.

    point: protocol -> model -> point predictions of chances. ratings: the same of ratings, empty where there are none.
    """

    release: str | None
    dataset: str
    k: int
    seeds: list[int]
    protocols: dict[str, ProtocolReport]
    point: dict[str, dict[str, Point]]
    ratings: dict[str, dict[str, RatingPoint]]


def is_baseline(model: str) -> bool:
    """Whether the hybrid must beat it: everything but the hybrid, its variants and a planted world's oracle."""
    return model not in (HYBRID, SPREAD, ORACLE) and not model.startswith((WITHOUT, REPLICATE))
