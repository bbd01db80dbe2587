"""What of a history counts, and how fast it fades."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numba
import numpy as np
from scipy import sparse

from ranking.profiles import Profiles
from ranking.types import Bools, Codes, Floats, Interactions, Queries, Times

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
        found = queries.memo.get(self)
        if found is None:
            found = queries.memo[self] = self._fading(queries)
        return found

    def _fading(self, queries: Queries) -> Profiles:
        never = np.inf
        indptr, item, weight = np.zeros_like(queries.indptr), np.empty_like(queries.item), np.empty_like(queries.weight)
        kept = _fade(
            indptr,
            item,
            weight,
            queries.indptr,
            queries.item,
            queries.occurred_at,
            queries.weight,
            queries.positive,
            self.feedback is Feedback.POSITIVE,
            float(self.others),  # of one type whatever the settings: the loop is compiled once
            never if self.half_life_events is None else float(self.half_life_events),
            never if self.half_life_days is None else float(self.half_life_days * DAY_US),
            never if self.last is None else float(self.last),
        )
        make = Profiles if queries.distinct else Profiles.of
        return make(indptr, item[:kept], weight[:kept], queries.n_items)


def binary(train: Interactions) -> sparse.csr_matrix:
    """Users x items, float32: 1 where the user has any event with the item."""
    matrix = train.matrix()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


@numba.njit(cache=True, nogil=True)
def _fade(
    ends: Times,
    items: Codes,
    weights: Floats,
    indptr: Times,
    item: Codes,
    occurred_at: Times,
    weight: Floats,
    positive: Bools,
    positive_alone: bool,
    others: float,
    half_life_events: float,
    half_life_us: float,
    last: float,
) -> int:
    """Fill in what counts of histories, each in time order, after `Memory`, as CSR form; infinity: never, or all.

    Returns how much it is. (Of an array that is returned numba looks up the type every time.)
    """
    entry = 0
    for row in range(len(indptr) - 1):
        later, newest = 0, np.int64(0)
        for event in range(indptr[row], indptr[row + 1]):
            if positive[event] or not positive_alone:
                later, newest = later + 1, occurred_at[event]
        for event in range(indptr[row], indptr[row + 1]):
            if positive[event] or not positive_alone:
                later -= 1
                halvings = later / half_life_events + (newest - occurred_at[event]) / half_life_us
                worth = np.float32(weight[event] * (1.0 if positive[event] else others) * 2.0**-halvings)
                if later < last and worth != 0:
                    items[entry], weights[entry] = item[event], worth
                    entry += 1
        ends[row + 1] = entry
    return entry
