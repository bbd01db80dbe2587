"""Which generators the hybrid uses, with which configurations."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

from ranking.artifacts import load_json, save_json
from ranking.candidates.aligned import Aligned, AlignedConfig
from ranking.candidates.cold_start import Audience, ColdStart, ColdStartConfig
from ranking.candidates.covisitation import Covisitation, CovisitationConfig
from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.fitting import Fitting, FittingConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.ials import Ials, IalsConfig
from ranking.candidates.item_knn import ItemKnn, ItemKnnConfig
from ranking.candidates.popular import PopularWindowed, PopularWindowedConfig
from ranking.candidates.sequel import Sequel, SequelConfig
from ranking.errors import ArtifactError
from ranking.rankers.space import Space
from ranking.types import Interactions, Times


class EasePositive(Ease):
    """EASE of what is liked, beside EASE of all that is met: the one is precise, the other finds more."""

    name: ClassVar[str] = "ease_positive"


GENERATORS: Final[dict[str, type[Generator]]] = {
    kind.name: kind
    for kind in (Ease, EasePositive, Ials, Covisitation, ItemKnn, Sequel, PopularWindowed, Fitting, Aligned, ColdStart)
}


@dataclass(frozen=True)
class GeneratorConfigs:
    """One configuration a generator; tuning replaces those of the collaborative ones."""

    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_positive: EaseConfig = field(
        default_factory=lambda: EaseConfig(l2=100.0, memory=Memory(feedback=Feedback.POSITIVE))
    )
    ials: IalsConfig = field(default_factory=IalsConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    item_knn: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    sequel: SequelConfig = field(default_factory=SequelConfig)
    popular_windowed: PopularWindowedConfig = field(default_factory=PopularWindowedConfig)
    fitting: FittingConfig = field(default_factory=FittingConfig)
    aligned: AlignedConfig = field(default_factory=AlignedConfig)
    cold_start: ColdStartConfig = field(default_factory=ColdStartConfig)


def fit_generators(
    train: Interactions, configs: GeneratorConfigs, *, space: Space, created_at: Times
) -> tuple[Generator, ...]:
    """All generators, fitted on `train`. space: item vectors learned from nothing later than `train`."""
    collaborative: tuple[Generator, ...] = (
        Ease(configs.ease),
        EasePositive(configs.ease_positive),
        Ials(configs.ials),
        Covisitation(configs.covisitation),
        ItemKnn(configs.item_knn),
        Sequel(configs.sequel),
        PopularWindowed(configs.popular_windowed),
    )
    fitted = tuple(generator.fit(train) for generator in collaborative)
    return (*fitted, *fit_content_generators(train, configs, space=space, created_at=created_at))


def fit_content_generators(
    train: Interactions, configs: GeneratorConfigs, *, space: Space, created_at: Times
) -> tuple[Generator, ...]:
    """Those of them that go by where items lie; `Fitting` is one of them if events tell of devices or places."""
    audience = Audience(space.predicted, space.remembered)
    told = any(one is not None for column in (train.device, train.place) for one in column.tolist())
    fitting = (Fitting(configs.fitting, space.fused, created_at).fit(train),) if told else ()
    return (
        *fitting,
        Aligned(configs.aligned, space.fused, space.appeal).fit(train),
        ColdStart(configs.cold_start, space.fused, created_at, space.appeal, audience).fit(train),
    )


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
    return tuple(GENERATORS[str(name)].load(folder / str(name)) for name in names)
