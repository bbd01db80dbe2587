"""Configurations that a search chose, shared by the baselines and the hybrid's generators."""

from collections.abc import Callable
from dataclasses import dataclass, field

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
from ranking.strategy.generators import GeneratorConfigs
from ranking.strategy.grids import SEQUENTIAL, TUNERS
from ranking.strategy.tuning import Tuned


@dataclass(frozen=True)
class TunedModels:
    """The best configuration of each model on one validation split, and NDCG@10 there; defaults are untuned.

    ease_all, ease_positive: the best of EASE's trials on all feedback and on positive feedback.
    sasrec: None where no sequential model was asked for.
    """

    popular: PopularConfig = field(default_factory=PopularConfig)
    popular_windowed: PopularWindowedConfig = field(default_factory=PopularWindowedConfig)
    item_knn: ItemKnnConfig = field(default_factory=ItemKnnConfig)
    ease: EaseConfig = field(default_factory=EaseConfig)
    ease_all: EaseConfig = field(default_factory=EaseConfig)
    ease_positive: EaseConfig = field(
        default_factory=lambda: EaseConfig(l2=100.0, memory=Memory(feedback=Feedback.POSITIVE))
    )
    ials: AlsConfig = field(default_factory=AlsConfig)
    ials_scaled: IalsConfig = field(default_factory=IalsConfig)
    covisitation: CovisitationConfig = field(default_factory=CovisitationConfig)
    bm25: Bm25Config = field(default_factory=Bm25Config)
    rp3beta: Rp3BetaConfig = field(default_factory=Rp3BetaConfig)
    slim: SlimConfig = field(default_factory=SlimConfig)
    user_knn: UserKnnConfig = field(default_factory=UserKnnConfig)
    bpr: BprConfig = field(default_factory=BprConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    sasrec: SasrecConfig | None = None
    validation_ndcg: dict[str, float] = field(default_factory=dict)
    trials: int = 0

    def baselines(self) -> dict[str, Generator]:
        """The single models that the hybrid has to beat, unfitted, by name."""
        single: dict[str, Generator] = {
            Popular.name: Popular(self.popular),
            PopularWindowed.name: PopularWindowed(self.popular_windowed),
            ItemKnn.name: ItemKnn(self.item_knn),
            Ease.name: Ease(self.ease),
            Als.name: Als(self.ials),
            Ials.name: Ials(self.ials_scaled),
            Covisitation.name: Covisitation(self.covisitation),
            Bm25.name: Bm25(self.bm25),
            Rp3Beta.name: Rp3Beta(self.rp3beta),
            Slim.name: Slim(self.slim),
            UserKnn.name: UserKnn(self.user_knn),
            Bpr.name: Bpr(self.bpr),
            Fusion.name: Fusion(self.fusion),
        }
        return single if self.sasrec is None else {**single, Sasrec.name: Sasrec(self.sasrec)}

    def generators(self) -> GeneratorConfigs:
        """The same choices for the hybrid."""
        return GeneratorConfigs(
            ease=self.ease_all,
            ease_positive=self.ease_positive,
            ials=self.ials_scaled,
            covisitation=self.covisitation,
            item_knn=self.item_knn,
            popular_windowed=self.popular_windowed,
            sasrec=self.sasrec,
        )


def tune_models(
    validation: Split,
    *,
    budget: int,
    sequential: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TunedModels:
    """Search every model with the same number of trials on one validation split; sequential: SASRec too."""
    found: dict[str, Tuned[object]] = {}
    tuners = {**TUNERS, **(SEQUENTIAL if sequential else {})}
    for done, (name, tuner) in enumerate(tuners.items()):
        progress(done, len(tuners))
        found[name] = tuner(validation, budget)
    configs = {name: tuned.config for name, tuned in found.items()}
    return TunedModels(
        **configs,  # type: ignore[arg-type]  # each tuner gives the config of the model that it is named after
        ease_all=_best_ease(found[Ease.name], Feedback.ALL),
        ease_positive=_best_ease(found[Ease.name], Feedback.POSITIVE),
        validation_ndcg={name: tuned.ndcg for name, tuned in found.items()},
        trials=budget,
    )


def _best_ease(tuned: Tuned[object], feedback: Feedback) -> EaseConfig:
    """The best trial that reads this feedback; the default where none did."""
    of_kind = [
        (trial.ndcg, trial.config)
        for trial in tuned.trials
        if isinstance(trial.config, EaseConfig) and trial.config.memory.feedback is feedback
    ]
    if not of_kind:
        return EaseConfig(memory=Memory(feedback=feedback))
    return max(of_kind, key=lambda scored: scored[0])[1]
