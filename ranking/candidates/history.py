"""What of a history counts, and how fast it fades."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.profiles import Profiles
from ranking.types import Bools, Floats, Interactions, Queries

DAY_US: Final = 86_400_000_000


class Feedback(StrEnum):
    """Which events a model reads."""

    ALL = "all"
    POSITIVE = "positive"


@dataclass(frozen=True)
class Memory:
    """How a model reads a history.

    feedback: the events that count at all; of others neither scores nor distances are taken.
    half_life_events: an event counts half when this many later ones of the same history lie behind it.
    half_life_days: or when it is this much older than the history's last event; None of both: it never fades.
    last: events before the last so many do not count.
    others: what events that are not positive count, as a share of their weight.
    train_days: only events of the last so many days before the log's end are learned from; profiles keep all.
    """

    feedback: Feedback = Feedback.ALL
    half_life_events: float | None = None
    half_life_days: float | None = None
    last: int | None = None
    others: float = 1.0
    train_days: float | None = None

    def training(self, train: Interactions) -> Interactions:
        """The events to learn from."""
        chosen = train if self.feedback is Feedback.ALL else train.where(train.positive)
        if self.train_days is None or not len(chosen):
            return chosen
        return chosen.where(chosen.occurred_at > train.occurred_at[-1] - self.train_days * DAY_US)

    def counts(self, queries: Queries) -> Bools:
        """Which of the histories' events count at all, bool [m]."""
        return np.ones(len(queries.item), bool) if self.feedback is Feedback.ALL else queries.positive

    def profiles(self, queries: Queries) -> Profiles:
        """The sum of each item's faded event weights; rows without a usable event are empty."""
        if self not in queries.memo:
            queries.memo[self] = self._fading(queries)
        return queries.memo[self]

    def _fading(self, queries: Queries) -> Profiles:
        told = queries if self.feedback is Feedback.ALL else queries.liked
        never = np.inf
        weight = _faded(
            told.indptr,
            told.occurred_at,
            told.weight,
            told.positive,
            float(self.others),  # of one type whatever the settings: the loop is compiled once
            never if self.half_life_events is None else float(self.half_life_events),
            never if self.half_life_days is None else float(self.half_life_days * DAY_US),
            never if self.last is None else float(self.last),
        )
        return told.profiles(weight)


def binary(train: Interactions) -> sparse.csr_matrix:
    """Users x items, float32: 1 where the user has any event with the item."""
    matrix = train.matrix()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


@numba.njit(cache=True, nogil=True)
def _faded(
    indptr: npt.NDArray[np.int64],
    occurred_at: npt.NDArray[np.int64],
    weight: Floats,
    positive: Bools,
    others: float,
    half_life_events: float,
    half_life_us: float,
    last: float,
) -> Floats:
    """Weights [m] of the events of histories, each in time order, after `Memory`; infinity: never, or all."""
    found = np.empty(len(weight), np.float32)
    for row in range(len(indptr) - 1):
        stop = indptr[row + 1]
        for event in range(indptr[row], stop):
            later = stop - 1 - event
            halvings = later / half_life_events + (occurred_at[stop - 1] - occurred_at[event]) / half_life_us
            worth = weight[event] * (1.0 if positive[event] else others) * 2.0**-halvings
            found[event] = worth if later < last else 0
    return found
