"""Configurations that a search chose, shared by the baselines and the hybrid's generators."""

from collections.abc import Callable, Mapping
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
from ranking.candidates.threads import two_at_once
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.splits import Split
from ranking.strategy.generators import GeneratorConfigs
from ranking.strategy.grids import SEQUENTIAL, TUNERS
from ranking.strategy.search_spaces import SPACES
from ranking.strategy.tuning import Trial, Tuned, best_of


@dataclass(frozen=True)
class TunedModels:
    """The best configuration of each model on one validation split, and NDCG@10 there; defaults are untuned.

    trials: of each model, or all that its few configurations allow. searched: models whose configuration a search found
    beyond the grid. ease_all, ease_positive: the best of EASE's trials on all feedback and on positive feedback.
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
    searched: tuple[str, ...] = ()

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
            ials=self.ials,
            ials_scaled=self.ials_scaled,
            covisitation=self.covisitation,
            item_knn=self.item_knn,
            popular_windowed=self.popular_windowed,
            user_knn=self.user_knn,
            bpr=self.bpr,
            popular=self.popular,
            sasrec=self.sasrec,
        )


def tune_models(
    validation: Split,
    *,
    budget: int,
    sequential: bool = False,
    searched: Mapping[str, tuple[Trial[object], ...]] | None = None,
    told: Callable[[Tuned[object]], None] = lambda tuned: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TunedModels:
    """Search every model with the same number of trials on one validation split; sequential: SASRec too.

    searched: trials that were made on that split before, as many of every model (but SASRec, which keeps to `budget`),
    those that `budget` alone would make among them: then none is made. told: is given each model's trials.
    """
    found: dict[str, Tuned[object]] = {}
    tuners = {**TUNERS, **(SEQUENTIAL if sequential else {})}

    def trials_of(name: str) -> Tuned[object]:
        trials = (searched or {}).get(name)
        return _chosen(name, trials) if trials else tuners[name](validation, budget)

    for done, tuned in enumerate(two_at_once(trials_of, tuners)):
        progress(done, len(tuners))
        told(tuned)
        found[tuned.name] = tuned
    configs = {name: tuned.config for name, tuned in found.items()}
    return TunedModels(
        **configs,  # type: ignore[arg-type]  # each tuner gives the config of the model that it is named after
        ease_all=_best_ease(found[Ease.name], Feedback.ALL),
        ease_positive=_best_ease(found[Ease.name], Feedback.POSITIVE),
        validation_ndcg={name: tuned.ndcg for name, tuned in found.items()},
        trials=max(map(len, searched.values())) if searched else budget,
        searched=tuple(name for name, tuned in found.items() if best_of(tuned.trials).searched),
    )


def _chosen(name: str, trials: tuple[Trial[object], ...]) -> Tuned[object]:
    best, model = best_of(trials), SPACES[name]
    params = model.space.params(best.config)
    return Tuned(name, best.config, best.ndcg, trials, make=lambda: model.make(params))


def _best_ease(tuned: Tuned[object], feedback: Feedback) -> EaseConfig:
    """The best trial that reads this feedback; the default where none did."""
    of_kind = [
        trial
        for trial in tuned.trials
        if isinstance(trial.config, EaseConfig) and trial.config.memory.feedback is feedback
    ]
    best = best_of(of_kind).config if of_kind else None
    return best if isinstance(best, EaseConfig) else EaseConfig(memory=Memory(feedback=feedback))
