"""Things that are tuned take turns within one budget of minutes, so that their trials differ by one at most."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from ranking.metrics import PerQuery
from ranking.strategy.space import Space
from ranking.strategy.study import Budget, Params, Study
from ranking.strategy.tuning import Trial, halves_of

FIT_S, SCORE_S, NDCG = "fit_s", "score_s", "mean_ndcg"  # attributes of a trial

Measure: TypeAlias = Callable[[Params], tuple[PerQuery, float, float]]
"""NDCG@10 of each query at a point, and the seconds of fitting and of ranking."""

First: TypeAlias = Callable[[Sequence[tuple[Params, float]]], Params | None]
"""By all points that were tried, with their NDCG (minus infinity where nothing could be fitted), the next one."""

Told: TypeAlias = Callable[["Entrant", Trial[object]], None]

SILENT: Final[Told] = lambda entrant, trial: None  # noqa: E731  a default of arguments


@dataclass(frozen=True)
class Entrant:
    """One thing that is tuned.

    name: of the model. first: after what was tried, the point to try next; None leaves it to the sampler. reference:
    how many trials are what the others have to beat.
    """

    name: str
    study: Study
    space: Space[object]
    first: First
    reference: int
    measure: Measure

    @property
    def exhausted(self) -> bool:
        """Whether everything has been tried."""
        size = self.space.size
        return size is not None and len({repr(one.params) for one in self.study.tried()}) >= size

    def try_next(self) -> Trial[object] | None:
        """One trial; None where its configuration cannot be fitted."""
        tried = [(one.params, one.facts.get(NDCG, -np.inf)) for one in self.study.tried()]
        asked = self.study.ask(self.first(tried))
        params = self.space.suggest(asked)
        try:
            found, fit_s, score_s = self.measure(params)
        except (ArithmeticError, np.linalg.LinAlgError):
            self.study.refuse(asked)
            return None
        self.study.tell(asked, halves_of(found), {NDCG: float(found.mean()), FIT_S: fit_s, SCORE_S: score_s})
        return self.trials()[-1]

    def trials(self) -> tuple[Trial[object], ...]:
        """All finished ones, the earliest first."""
        return finished(self.study, self.space, self.reference)


def finished(study: Study, space: Space[object], reference: int) -> tuple[Trial[object], ...]:
    """A study's finished trials, the earliest first; those after the first `reference` tried ones count as searched."""
    return tuple(
        Trial(
            config=space.config(one.params),
            ndcg=one.facts.get(NDCG, float(np.mean(one.parts))),
            fit_s=one.facts.get(FIT_S, 0.0),
            score_s=one.facts.get(SCORE_S, 0.0),
            halves=one.parts,
            searched=place >= reference,
            started_at=one.started_at,
        )
        for place, one in enumerate(study.tried())
        if one.parts
    )


def take_turns(entrants: Sequence[Entrant], budget: Budget, told: Told = SILENT) -> bool:
    """Try until the budget is spent or nothing is left; whether the user has ended it before (Ctrl-C).

    The next is always the one with the fewest trials, also after an interruption. The trial that the end of the budget
    finds at work is finished.
    """
    try:
        while not budget.spent:
            able = [one for one in entrants if not one.exhausted]
            if not able:
                break
            entrant = min(able, key=lambda one: len(one.study.tried()))
            trial = entrant.try_next()
            if trial is not None:
                told(entrant, trial)
    except KeyboardInterrupt:
        return True
    return False
