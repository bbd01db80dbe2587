"""What is tried when models are tuned: for each model its configs, those most worth trying first.

Every grid opens with the plain model of its publication and the two fading variants that won most often on the
validation windows of MovieLens-100K and ml-latest-small; then it spreads around them. Recency of the query's own
history matters more than any other hyper-parameter, and whether all events or only positive ones are read comes next;
under one cutoff for all (P1) learning from the last weeks alone helps too. From a grid's winner on, each model doubles
or halves the one hyper-parameter that says how closely it follows the data.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from ranking.candidates.als import Als, AlsConfig
from ranking.candidates.bm25 import Bm25, Bm25Config
from ranking.candidates.bpr import Bpr, BprConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.fusion import Fusion
from ranking.candidates.fusion_config import FusionConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.rp3beta import Rp3Beta, Rp3BetaConfig
from ranking.candidates.sasrec import Sasrec
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.slim import Slim, SlimConfig
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.splits import Split
from ranking.strategy.tuning import Tuned, tune

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Config = TypeVar("Config", bound="DataclassInstance")
Tuner: TypeAlias = Callable[[Split, int], Tuned[object]]
"""Tunes one model on a validation split with a budget of trials."""


def _fading(half_life_events: float | None, feedback: Feedback = Feedback.ALL, others: float = 1.0) -> Memory:
    return Memory(feedback=feedback, half_life_events=half_life_events, others=others)


_ALL, _LIKED = _fading(None), _fading(None, Feedback.POSITIVE)

POPULAR: Final = (PopularConfig(), PopularConfig(feedback=Feedback.POSITIVE))

POPULAR_WINDOWED: Final = (
    PopularWindowedConfig(window_days=28),
    PopularWindowedConfig(window_days=7),
    PopularWindowedConfig(window_days=112),
    PopularWindowedConfig(window_days=365),
    PopularWindowedConfig(window_days=None, half_life_days=14),
    PopularWindowedConfig(window_days=None, half_life_days=90),
    PopularWindowedConfig(window_days=28, feedback=Feedback.POSITIVE),
    PopularWindowedConfig(window_days=365, feedback=Feedback.POSITIVE),
)

ITEM_KNN: Final = (
    ItemKnnConfig(neighbours=200, memory=_ALL),
    ItemKnnConfig(neighbours=100, shrink=20, memory=_fading(10)),
    ItemKnnConfig(neighbours=100, memory=_fading(50, Feedback.POSITIVE)),
    ItemKnnConfig(neighbours=200, memory=_fading(10)),
    ItemKnnConfig(neighbours=50, memory=_fading(10, Feedback.POSITIVE)),
    ItemKnnConfig(neighbours=200, memory=_LIKED),
    ItemKnnConfig(neighbours=200, memory=_fading(2)),
    ItemKnnConfig(neighbours=50, shrink=20, memory=_fading(50)),
)

EASE: Final = (
    EaseConfig(l2=300, memory=_ALL),
    EaseConfig(l2=300, memory=_fading(10, others=0.2), pair_half_life=40, min_events=5),
    EaseConfig(l2=100, memory=_LIKED),
    EaseConfig(l2=300, memory=_fading(5, others=0.2), pair_half_life=20, min_events=5),
    EaseConfig(l2=300, memory=_fading(50, Feedback.POSITIVE)),
    # NDCG@10 on P1's window 1 of MovieLens-100K: .168, of all events .151; under P2 a window loses a fifth and more
    EaseConfig(l2=100, memory=replace(_LIKED, train_days=28)),
    EaseConfig(l2=300, memory=_fading(10)),
    EaseConfig(l2=100, memory=_fading(2), pair_half_life=20, min_events=5),
    EaseConfig(l2=30, memory=_fading(20, Feedback.POSITIVE)),
)

IALS: Final = (
    IalsConfig(unobserved=0.3, l2=0.01, memory=_ALL),
    IalsConfig(unobserved=0.3, l2=0.01, memory=_fading(10)),
    IalsConfig(unobserved=0.3, l2=0.01, memory=_fading(20, Feedback.POSITIVE)),
    IalsConfig(unobserved=1.0, l2=0.006, memory=_fading(10)),
    IalsConfig(unobserved=0.1, l2=0.03, memory=_fading(50, Feedback.POSITIVE)),
    IalsConfig(unobserved=0.3, l2=0.01, memory=_fading(2)),
    IalsConfig(unobserved=0.1, l2=0.01, memory=_fading(10)),
    IalsConfig(unobserved=0.3, l2=0.003, factors=32, memory=_fading(10)),
)

ALS: Final = (
    AlsConfig(regularization=10, alpha=5, memory=_ALL),
    AlsConfig(regularization=30, alpha=5, memory=_fading(20)),
    AlsConfig(regularization=10, alpha=2, memory=_fading(20, Feedback.POSITIVE)),
    AlsConfig(regularization=30, alpha=5, factors=32, memory=_fading(10)),
    AlsConfig(regularization=10, alpha=3, memory=_fading(10)),
    AlsConfig(regularization=3, alpha=1, memory=_fading(50, Feedback.POSITIVE)),
    AlsConfig(regularization=100, alpha=20, memory=_fading(20)),
    AlsConfig(regularization=1, alpha=1, factors=32, memory=_fading(10)),
)

COVISITATION: Final = (
    CovisitationConfig(),
    CovisitationConfig(backward=1.0, target_power=0.5),
    CovisitationConfig(window=80, pair_half_life=40, backward=1.0, memory=_fading(10, Feedback.POSITIVE)),
    CovisitationConfig(memory=Memory(half_life_events=2, last=20)),
    CovisitationConfig(window=20, pair_half_life=5, memory=Memory(half_life_events=2, last=20)),
    CovisitationConfig(backward=1.0, memory=Memory(half_life_events=5, last=40, feedback=Feedback.POSITIVE)),
    CovisitationConfig(window=10, pair_half_life=2, memory=Memory(half_life_events=1, last=10)),
    CovisitationConfig(backward=1.0, memory=Memory(half_life_events=20, last=100)),
)

# Best of BM25, RP3beta, SLIM and user-kNN on P2's window 1 of MovieLens-100K; ml-latest-small prefers what is liked.
_FAINT: Final = _fading(10, others=0.2)

BM25: Final = (
    Bm25Config(memory=_ALL),
    Bm25Config(neighbours=400, memory=_FAINT),
    Bm25Config(b=0.3, memory=_FAINT),
    Bm25Config(b=0.3, memory=_fading(20, Feedback.POSITIVE)),
    Bm25Config(b=0.3, neighbours=100, memory=_fading(10)),
    Bm25Config(b=0.3, memory=_LIKED),
)

RP3BETA: Final = (
    Rp3BetaConfig(alpha=1.0, beta=0.6, memory=_ALL),
    Rp3BetaConfig(alpha=0.5, beta=0.4, memory=_FAINT),
    Rp3BetaConfig(alpha=0.7, beta=0.4, memory=_fading(20, Feedback.POSITIVE)),
    Rp3BetaConfig(alpha=0.8, beta=0.2, neighbours=50, memory=_FAINT),
    Rp3BetaConfig(alpha=0.5, beta=0.2, memory=_FAINT),
    Rp3BetaConfig(alpha=0.5, beta=0.4, memory=_LIKED),
)

SLIM: Final = (
    SlimConfig(memory=_ALL),
    SlimConfig(l1=3, l2=200, memory=_FAINT),
    SlimConfig(l2=10, memory=_fading(20, Feedback.POSITIVE)),
    SlimConfig(memory=_FAINT),
    SlimConfig(l1=0.3, l2=30, memory=_fading(50, Feedback.POSITIVE)),
    SlimConfig(l1=1, l2=10, memory=_LIKED),
)

USER_KNN: Final = (
    UserKnnConfig(memory=_ALL),
    UserKnnConfig(memory=_fading(10)),
    UserKnnConfig(power=2, rarity=0.3, memory=_fading(20, Feedback.POSITIVE)),
    UserKnnConfig(neighbours=25, memory=_FAINT),
    UserKnnConfig(neighbours=200, power=2, memory=_fading(5)),
    UserKnnConfig(memory=_LIKED),
)

BPR: Final = (
    BprConfig(memory=_ALL),
    BprConfig(iterations=100, learning_rate=0.03, regularization=0.03, memory=_FAINT),
    BprConfig(memory=_fading(20, Feedback.POSITIVE)),
    BprConfig(factors=32, learning_rate=0.03, regularization=0.1, memory=_FAINT),
    BprConfig(iterations=100, learning_rate=0.03, regularization=0.03, memory=_fading(20, Feedback.POSITIVE)),
    BprConfig(iterations=100, learning_rate=0.03, regularization=0.03, memory=_fading(5, others=0.2)),
)

# It reads histories of strangers alone, so nothing fades: what varies is how much and of what it learns.
FUSION: Final = (
    FusionConfig(memory=_ALL),
    FusionConfig(memory=_LIKED),
    FusionConfig(learning_rate=1e-2, epochs=5, memory=_ALL),
    FusionConfig(learning_rate=1e-2, dim=16, hidden=32, memory=_ALL),
    FusionConfig(learning_rate=1e-2, memory=_LIKED),
    FusionConfig(learning_rate=1e-2, negatives=8, epochs=5, memory=_LIKED),
)

SASREC: Final = (
    SasrecConfig(memory=_ALL),
    SasrecConfig(memory=_LIKED),
    SasrecConfig(epochs=10, memory=_ALL),
    SasrecConfig(length=100, memory=_ALL),
    SasrecConfig(dropout=0.5, memory=_ALL),
    SasrecConfig(dim=32, memory=_ALL),
)


FIELDS: Final[dict[str, tuple[str, ...]]] = {
    PopularWindowed.name: ("window_days", "half_life_days"),
    ItemKnn.name: ("neighbours",),
    Ease.name: ("l2",),
    Ials.name: ("l2",),
    Als.name: ("regularization",),
    Covisitation.name: ("pair_half_life",),
    Bm25.name: ("neighbours",),
    Rp3Beta.name: ("neighbours",),
    Slim.name: ("l2",),
    UserKnn.name: ("neighbours",),
    Bpr.name: ("regularization",),
    Fusion.name: ("learning_rate",),
    Sasrec.name: ("learning_rate",),
}
"""What is doubled and halved around a model's best config: the first of them that is not None there."""


def steps(name: str, config: Config) -> list[Config]:
    """What is tried around the best config of a model of that name."""
    return [one for field in FIELDS.get(name, ()) for one in doubled_and_halved(config, field)][:2]


def _tuner(kind: Callable[[Config], Generator], name: str, grid: tuple[Config, ...]) -> Tuner:
    def around(config: Config) -> list[Config]:
        return steps(name, config)

    def run(validation: Split, budget: int) -> Tuned[object]:
        train, queries, relevant = validation.train, validation.queries, validation.relevant
        return tune(name, kind, grid, train, queries, relevant, budget=budget, steps=around)

    return run


def doubled_and_halved(config: Config, field: str) -> list[Config]:
    """Two configs, of twice and half the field's value; none where it is None."""
    value: float | None = getattr(config, field)
    if value is None:
        return []
    return [replace(config, **{field: type(value)(value * by)}) for by in (2, 0.5)]


TUNERS: Final[dict[str, Tuner]] = {
    Popular.name: _tuner(Popular, Popular.name, POPULAR),
    PopularWindowed.name: _tuner(PopularWindowed, PopularWindowed.name, POPULAR_WINDOWED),
    ItemKnn.name: _tuner(ItemKnn, ItemKnn.name, ITEM_KNN),
    Ease.name: _tuner(Ease, Ease.name, EASE),
    Ials.name: _tuner(Ials, Ials.name, IALS),
    Als.name: _tuner(Als, Als.name, ALS),
    Covisitation.name: _tuner(Covisitation, Covisitation.name, COVISITATION),
    Bm25.name: _tuner(Bm25, Bm25.name, BM25),
    Rp3Beta.name: _tuner(Rp3Beta, Rp3Beta.name, RP3BETA),
    Slim.name: _tuner(Slim, Slim.name, SLIM),
    UserKnn.name: _tuner(UserKnn, UserKnn.name, USER_KNN),
    Bpr.name: _tuner(Bpr, Bpr.name, BPR),
    Fusion.name: _tuner(Fusion, Fusion.name, FUSION),
}
SEQUENTIAL: Final[dict[str, Tuner]] = {Sasrec.name: _tuner(Sasrec, Sasrec.name, SASREC)}
"""What takes minutes, and is tuned only where it is asked for."""
