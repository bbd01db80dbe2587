"""Which generators the hybrid uses, with which configurations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, TypeVar

from ranking.artifacts import load_json, save_json
from ranking.candidates.aligned import Aligned, AlignedConfig, AlignedRecent, AlignedSession
from ranking.candidates.als import Als, AlsConfig
from ranking.candidates.bpr import Bpr, BprConfig
from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.fitting import Fitting, FittingConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.located import Located
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.popular_here import PopularHere, PopularHereConfig
from ranking.candidates.sasrec import Sasrec
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.scarce import Scarce, ScarceConfig
from ranking.candidates.semantic_ease import SemanticEase, SemanticEaseConfig
from ranking.candidates.sequel import Sequel, SequelConfig
from ranking.candidates.sparse_ease import SparseEase, SparseEaseConfig
from ranking.candidates.threads import two_at_once
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.errors import ArtifactError
from ranking.rankers.space import Space
from ranking.types import Interactions, Times

Shared = TypeVar("Shared")

EXACT_EASE: Final = 10_000  # items: the weights of so many take .4 GB, and a request reads a row of them an event


class EasePositive(Ease):
    """EASE of what is liked, beside EASE of all that is met: the one is precise, the other finds more."""

    name: ClassVar[str] = "ease_positive"


GENERATORS: Final[dict[str, type[Generator]]] = {
    kind.name: kind
    for kind in (
        Ease,
        EasePositive,
        SemanticEase,
        SparseEase,
        Als,
        Ials,
        Covisitation,
        ItemKnn,
        UserKnn,
        Bpr,
        Sequel,
        PopularWindowed,
        Popular,
        PopularHere,
        Sasrec,
        Fitting,
        Aligned,
        AlignedRecent,
        AlignedSession,
        ColdStart,
        Scarce,
    )
}


@dataclass(frozen=True)
class GeneratorConfigs:
    """One configuration a generator; tuning replaces those of the collaborative ones. None: it is left out."""

    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_positive: EaseConfig = field(
        default_factory=lambda: EaseConfig(l2=100.0, memory=Memory(feedback=Feedback.POSITIVE))
    )
    ials: AlsConfig = field(default_factory=AlsConfig)
    ials_scaled: IalsConfig = field(default_factory=IalsConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    item_knn: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    user_knn: UserKnnConfig = field(default_factory=UserKnnConfig)
    bpr: BprConfig = field(default_factory=BprConfig)
    sequel: SequelConfig = field(default_factory=SequelConfig)
    popular_windowed: PopularWindowedConfig = field(default_factory=PopularWindowedConfig)
    sasrec: SasrecConfig | None = None
    popular: PopularConfig = field(default_factory=lambda: PopularConfig(feedback=Feedback.POSITIVE))
    popular_here: PopularHereConfig = field(default_factory=PopularHereConfig)
    fitting: FittingConfig = field(default_factory=FittingConfig)
    aligned: AlignedConfig = field(default_factory=AlignedConfig)
    aligned_recent: AlignedConfig = field(
        default_factory=lambda: AlignedConfig(Memory(feedback=Feedback.POSITIVE, half_life_events=10))
    )
    aligned_session: AlignedConfig | None = None
    ease_semantic: SemanticEaseConfig | None = field(default_factory=SemanticEaseConfig)
    cold_start: ColdStartConfig = field(default_factory=ColdStartConfig)
    scarce: ScarceConfig = field(default_factory=ScarceConfig)


def fit_generators(
    train: Interactions, configs: GeneratorConfigs, *, space: Space, created_at: Times
) -> tuple[Generator, ...]:
    """All generators, fitted on `train`. space: item vectors learned from nothing later than `train`.

    Above `EXACT_EASE` items EASE is solved among neighbours. What goes by device and place is there if events have any.
    """
    collaborative: tuple[Generator, ...] = (
        *_linear(configs, len(train.items)),
        Als(configs.ials),
        Ials(configs.ials_scaled),
        Covisitation(configs.covisitation),
        ItemKnn(configs.item_knn),
        UserKnn(configs.user_knn),
        Bpr(configs.bpr),
        Sequel(configs.sequel),
        PopularWindowed(configs.popular_windowed),
        Popular(configs.popular),
        *([PopularHere(configs.popular_here)] if _surroundings(train) else []),
    )
    if configs.sasrec is not None:
        collaborative = (*collaborative, Sasrec(configs.sasrec))
    fitted = two_at_once(lambda one: one.fit(train), collaborative)
    return (*fitted, *fit_content_generators(train, configs, space=space, created_at=created_at))


def _linear(configs: GeneratorConfigs, n_items: int) -> tuple[Generator, ...]:
    if n_items <= EXACT_EASE:
        return Ease(configs.ease), EasePositive(configs.ease_positive)
    return (SparseEase(SparseEaseConfig(l2=configs.ease.l2, memory=configs.ease.memory)),)


def _surroundings(train: Interactions) -> bool:
    return any(one is not None for column in (train.device, train.place) for one in column.tolist())


def fit_content_generators(
    train: Interactions, configs: GeneratorConfigs, *, space: Space, created_at: Times
) -> tuple[Generator, ...]:
    """Those of them that go by where items lie, alone or among others; `Fitting` where events tell of surroundings."""
    audience = Audience(space.predicted, space.remembered)
    generators: list[Generator] = []
    if configs.ease_semantic is not None and len(train.items) <= EXACT_EASE:
        generators.append(SemanticEase(configs.ease_semantic, space.fused))
    if _surroundings(train):
        generators.append(Fitting(configs.fitting, space.fused, created_at))
    generators.append(Aligned(configs.aligned, space.fused, space.appeal))
    generators.append(AlignedRecent(configs.aligned_recent, space.fused, space.appeal))
    if configs.aligned_session is not None:
        generators.append(AlignedSession(configs.aligned_session, space.fused, space.appeal))
    generators.append(ColdStart(configs.cold_start, space.fused, created_at, space.appeal, audience))
    generators.append(Scarce(configs.scarce, space.fused, created_at, audience))
    return _sharing([generator.fit(train) for generator in generators])


def save_generators(generators: tuple[Generator, ...], folder: Path) -> None:
    """Write each generator into a folder of its name, and their order."""
    save_json(folder / "generators.json", [generator.name for generator in generators])
    for generator in generators:
        place = folder / generator.name
        place.mkdir()
        generator.save(place)


def load_generators(folder: Path) -> tuple[Generator, ...]:
    """Read what `save_generators` wrote."""
    names = load_json(folder / "generators.json")
    if not isinstance(names, list) or any(name not in GENERATORS for name in names):
        raise ArtifactError(
            f"{folder}/generators.json: {names}; known are {sorted(GENERATORS)}; build the release again"
        )
    return _sharing([GENERATORS[str(name)].load(folder / str(name)) for name in names])


def _sharing(generators: Sequence[Generator]) -> tuple[Generator, ...]:
    """Let those that lie in one space hold one object of it: a request reads its rows once."""
    spaces, audiences = list[Located](), list[Audience]()
    for one in generators:
        if isinstance(one, Aligned | ColdStart | Fitting | Scarce):
            one.space = _first_like(one.space, spaces, Located.equals)
        if isinstance(one, ColdStart | Scarce) and one.audience is not None:
            one.audience = _first_like(one.audience, audiences, Audience.equals)
    return tuple(generators)


def _first_like(one: Shared, known: list[Shared], alike: Callable[[Shared, Shared], bool]) -> Shared:
    """The first of the known ones that is like this one, or this one, which is known then."""
    for other in known:
        if alike(one, other):
            return other
    known.append(one)
    return one
