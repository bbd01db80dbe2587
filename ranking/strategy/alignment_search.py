"""How the alignment is best configured on a data set: an Optuna search that keeps to a budget of minutes.

Two disjoint random fifths of the liked items are hidden, one after the other; a configuration is as good as its
alignment, beside the closed form, ranks them for the users who like some of them: NDCG@10 of the sum of both opinions,
as new items are ranked. Every finished trial is on disk, so that a further run goes on where this one ends.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.cold_start import standardised
from ranking.metrics import ndcg
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig, Loss
from ranking.representation.behaviour import positives
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.inputs import unit_rows
from ranking.strategy.space import Choice, Dimensions, Space, Span
from ranking.strategy.study import Arrays, Budget, Journal, Study, digest
from ranking.strategy.tuning import clearly_better
from ranking.types import Bools, Floats, Interactions

FOLDS: Final = 2
SHARE: Final = 0.2
DEPTH: Final = 10
NAME: Final = "all/alignment"  # begins the name of a study: it is of all protocols
DIMENSIONS: Final[Dimensions] = {
    "dim": Choice((64, 128, 256)),
    "loss": Choice((Loss.SOFTMAX.value, Loss.BPR.value, Loss.INFO_NCE.value)),
    "hidden": Choice((0, 256)),
    "items": Choice((1024, 2048)),
    "behaviour": Choice((False, True)),
    "steps": Span(120, 480, log=True, whole=True),
    "learning_rate": Span(5e-4, 5e-3, log=True),
    "temperature": Span(0.05, 0.2, log=True),
    "modality_dropout": Span(0, 0.6),
    "contrast": Span(0, 0.5),
}
DEFAULT: Final = Space(AlignmentConfig(), DIMENSIONS).params(AlignmentConfig())

Progress = Callable[[int, int], None]  # steps done, steps to do


class _SpentError(Exception):
    """The budget is spent."""


@dataclass(frozen=True)
class Searched:
    """What a search has found so far.

    config: the best one, another one than the default only where that is `clearly_better`. default, best: NDCG@10 of
    each fold by the default and by `config`. trials: how many are finished, those of earlier runs among them.
    interrupted: the user has ended the search. study: its name in the journal.
    """

    config: AlignmentConfig
    default: tuple[float, ...]
    best: tuple[float, ...]
    trials: int
    interrupted: bool = False
    study: str = ""


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
    the end of the budget, or the user (Ctrl-C), finds at work is given up.
    """
    budget = Budget.of(minutes, clock)
    tried = (Fold.of(content, train, hidden) for hidden in hidden_items(train, seed))
    folds = [fold for fold in tried if fold is not None]
    if not folds:
        return None
    space = Space(base or AlignmentConfig(), DIMENSIONS)
    study = Journal(journal, seed=seed).study(f"{NAME}/{fingerprint(content, train, space.config(DEFAULT))}")

    def stop_in_time(done: int, total: int) -> None:
        if budget.spent:
            raise _SpentError

    interrupted = False
    while not budget.spent and not interrupted:
        trial = study.ask(None if study.finished() else DEFAULT)
        config = space.config(space.suggest(trial))
        try:
            found = [fold.ndcg(content, config, seed=seed, progress=stop_in_time) for fold in folds]
        except (_SpentError, KeyboardInterrupt) as end:
            study.give_up(trial)
            interrupted = isinstance(end, KeyboardInterrupt)
        else:
            study.tell(trial, found)
            told(*_state(study))
    return _searched(study, space, interrupted=interrupted)


def hidden_items(train: Interactions, seed: int) -> list[npt.NDArray[np.int64]]:
    """`FOLDS` disjoint random shares of the items that somebody likes, ascending codes."""
    liked = np.unique(train.item[train.positive]).astype(np.int64)
    order = np.random.default_rng(seed).permutation(liked)
    size = round(SHARE * len(liked))
    return [np.sort(order[size * fold : size * (fold + 1)]) for fold in range(FOLDS)]


def fingerprint(content: ItemContent, train: Interactions, base: AlignmentConfig) -> str:
    """Name of a study: the same for the same items, vectors, likes and what is not searched."""
    arrays: Arrays = [content.created_at, content.categories.indices, train.user, train.item, train.positive]
    arrays += [*content.vectors.values(), *content.present.values()]
    return digest([repr(base), repr(DIMENSIONS), *content.items.ids, *content.category_names], arrays)


def _state(study: Study) -> tuple[int, float]:
    values = [one.value or 0.0 for one in study.finished()]
    return len(values), max(values, default=0.0)


def _searched(study: Study, space: Space[AlignmentConfig], *, interrupted: bool) -> Searched | None:
    """The best trial that is clearly better than the default, else the default."""
    trials = study.finished()
    default = next((one.parts for one in trials if one.params == DEFAULT), None)
    if default is None:
        return None
    better = [one for one in trials if clearly_better(one.parts, default)]
    best = max(better, key=lambda one: one.value or 0.0, default=None)
    params, parts = (DEFAULT, default) if best is None else (best.params, best.parts)
    return Searched(space.config(params), default, parts, len(trials), interrupted, study.name)


def _standardised(scores: Floats) -> Floats:
    return standardised(scores, np.ones(scores.shape, bool))
