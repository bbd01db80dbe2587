"""How the alignment is best configured on a data set: an Optuna search that keeps to a budget of minutes.

Two disjoint random fifths of the liked items are hidden, one after the other; a configuration is as good as its
alignment, beside the closed form, ranks them for the users who like some of them: NDCG@10 of the sum of both opinions,
as new items are ranked. Every finished trial is on disk, so that a further run goes on where this one ends.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from scipy import sparse

from ranking.candidates.cold_start import standardised
from ranking.metrics import ndcg
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig, Loss
from ranking.representation.behaviour import positives
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.inputs import unit_rows
from ranking.types import Bools, Floats, Interactions, ItemContent

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

FOLDS: Final = 2
SHARE: Final = 0.2
DEPTH: Final = 10
STARTUP: Final = 5  # trials at random before the sampler makes use of those before
MARGIN: Final = 0.02  # of the mean; the best of many is flattered, and trials that differ by less are as good in use
OF_FOLDS: Final = "ndcg"  # attribute of a trial: its NDCG on each fold
SEARCHED: Final = (
    "loss",
    "hidden",
    "items",
    "behaviour",
    "steps",
    "learning_rate",
    "temperature",
    "modality_dropout",
    "contrast",
)
_PLAIN: Final = TypeAdapter(AlignmentConfig).dump_python(AlignmentConfig(), mode="json")
DEFAULT: Final = {name: _PLAIN[name] for name in SEARCHED}

Progress = Callable[[int, int], None]  # steps done, steps to do


class _SpentError(Exception):
    """The budget is spent."""


@dataclass(frozen=True)
class Searched:
    """What a search has found so far.

    config: the best one, another one than the default only where that is better on every fold and by `MARGIN` on the
    mean. default, best: NDCG@10 of each fold by the default and by `config`. trials: how many are finished, those of
    earlier runs among them.
    """

    config: AlignmentConfig
    default: tuple[float, ...]
    best: tuple[float, ...]
    trials: int


@dataclass(frozen=True)
class Fold:
    """A training part without the hidden items, and who likes which of these.

    hidden: int64 [h] codes. history: [u, n_items], known likes. relevant: bool [u, h]. closed: float32 [u, h], what the
    closed form thinks of them, standardised.
    """

    train: Interactions
    hidden: npt.NDArray[np.int64]
    history: sparse.csr_matrix
    relevant: Bools
    closed: Floats

    @classmethod
    def of(cls, content: ItemContent, train: Interactions, hidden: npt.NDArray[np.int64]) -> Self | None:
        """None where no user likes both a hidden item and another one."""
        rest = train.where(~np.isin(train.item, hidden))
        known, liked = positives(rest), positives(train)[:, hidden].toarray() > 0
        users = np.flatnonzero(liked.any(axis=1) & (np.diff(known.indptr) > 0))
        if not len(users):
            return None
        mapping = FactorMapping.fit(content, rest)
        predicted = mapping.item_vectors(content)
        taste = known[users] @ mapping.history_vectors(predicted)
        return cls(rest, hidden, known[users], liked[users], _standardised(taste @ predicted[hidden].T))

    def ndcg(self, content: ItemContent, config: AlignmentConfig, *, seed: int, progress: Progress) -> float:
        """Mean NDCG@10 of the hidden items by the sum of an alignment's opinion and the closed form's."""
        alignment = Alignment.fit(content, self.train, config=config, seed=seed, progress=progress)
        vectors = alignment.item_vectors(content)
        appeal = alignment.item_bias(content)[self.hidden] * config.temperature
        scores = unit_rows(self.history @ vectors) @ vectors[self.hidden].T + appeal
        ranked = np.argsort(-(_standardised(scores) + self.closed), axis=1, kind="stable")[:, :DEPTH]
        hits = np.take_along_axis(self.relevant, ranked, axis=1)
        return float(ndcg(hits, self.relevant.sum(axis=1), DEPTH).mean())


def search(
    content: ItemContent,
    train: Interactions,
    journal: Path,
    *,
    minutes: float,
    base: AlignmentConfig | None = None,
    seed: int = 0,
    told: Callable[[int, float], None] = lambda trials, best: None,
    clock: Callable[[], float] = time.monotonic,
) -> Searched | None:
    """Try configurations for `minutes`, the default first; None where that found no time to finish, or nobody to ask.

    journal: file of the trials, JSON lines, made if it is not there; trials of other data in it do not count. base:
    what is not searched is taken from it. told: how many trials are finished, and the best mean NDCG. The trial that
    the end of the budget finds at work is given up.
    """
    import optuna  # heavy: only a search needs it
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    end = clock() + 60 * minutes
    base = configured(base or AlignmentConfig(), DEFAULT)
    tried = (Fold.of(content, train, hidden) for hidden in hidden_items(train, seed))
    folds = [fold for fold in tried if fold is not None]
    if not folds:
        return None

    def stop_in_time(done: int, total: int) -> None:
        if clock() > end:
            raise _SpentError

    backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
    study = optuna.create_study(
        storage=JournalStorage(backend),
        study_name=fingerprint(content, train, base),
        direction="maximize",
        load_if_exists=True,
    )
    # a further run must propose something else than the first one did
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials), n_startup_trials=STARTUP)
    if not any(trial.params == DEFAULT for trial in _finished(study)):
        study.enqueue_trial(DEFAULT)
    while clock() < end:
        trial = study.ask()
        config = configured(base, suggested(trial))
        try:
            found = [fold.ndcg(content, config, seed=seed, progress=stop_in_time) for fold in folds]
        except _SpentError:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            trial.set_user_attr(OF_FOLDS, found)
            study.tell(trial, float(np.mean(found)))
            told(*_state(study))
    return _searched(study, base)


def hidden_items(train: Interactions, seed: int) -> list[npt.NDArray[np.int64]]:
    """`FOLDS` disjoint random shares of the items that somebody likes, ascending codes."""
    liked = np.unique(train.item[train.positive]).astype(np.int64)
    order = np.random.default_rng(seed).permutation(liked)
    size = round(SHARE * len(liked))
    return [np.sort(order[size * fold : size * (fold + 1)]) for fold in range(FOLDS)]


def suggested(trial: "Trial") -> dict[str, object]:
    """A point of the space that is searched: names and values of a configuration."""
    trial.suggest_categorical("loss", [one.value for one in (Loss.SOFTMAX, Loss.BPR, Loss.INFO_NCE)])
    trial.suggest_categorical("hidden", [0, 256])
    trial.suggest_categorical("items", [1024, 2048])
    trial.suggest_categorical("behaviour", [False, True])
    trial.suggest_int("steps", 120, 480, log=True)
    trial.suggest_float("learning_rate", 5e-4, 5e-3, log=True)
    trial.suggest_float("temperature", 0.05, 0.2, log=True)
    trial.suggest_float("modality_dropout", 0.0, 0.6)
    trial.suggest_float("contrast", 0.0, 0.5)
    return dict(trial.params)


def configured(base: AlignmentConfig, params: Mapping[str, object]) -> AlignmentConfig:
    """The configuration that differs from `base` by a trial's parameters."""
    adapter = TypeAdapter(AlignmentConfig)
    return adapter.validate_python(adapter.dump_python(base) | dict(params))


def fingerprint(content: ItemContent, train: Interactions, base: AlignmentConfig) -> str:
    """Name of a study: the same for the same items, vectors, likes and what is not searched."""
    digest = hashlib.sha256(repr(base).encode())
    arrays = [content.created_at, content.categories.indices, train.user, train.item, train.positive]
    for array in (*arrays, *content.vectors.values(), *content.present.values()):
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\n".join((*content.items.ids, *content.category_names)).encode())
    return digest.hexdigest()[:16]


def _finished(study: "Study") -> "list[FrozenTrial]":
    from optuna.trial import TrialState  # heavy, as above

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _state(study: "Study") -> tuple[int, float]:
    values = [trial.value or 0.0 for trial in _finished(study)]
    return len(values), max(values, default=0.0)


def _searched(study: "Study", base: AlignmentConfig) -> Searched | None:
    """The best trial that beats the default on every fold, and clearly on the mean, else the default."""
    trials = _finished(study)
    default = next((one.user_attrs[OF_FOLDS] for one in trials if one.params == DEFAULT), None)
    if default is None:
        return None
    clearly = (1 + MARGIN) * float(np.mean(default))
    better = [
        one
        for one in trials
        if (one.value or 0.0) > clearly and all(x > y for x, y in zip(one.user_attrs[OF_FOLDS], default, strict=True))
    ]
    best = max(better, key=lambda one: one.value or 0.0, default=None)
    if best is None:
        return Searched(base, tuple(default), tuple(default), len(trials))
    return Searched(configured(base, best.params), tuple(default), tuple(best.user_attrs[OF_FOLDS]), len(trials))


def _standardised(scores: Floats) -> Floats:
    return standardised(scores, np.ones(scores.shape, bool))
