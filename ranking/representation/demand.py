"""How many interactions an item may expect in the next four weeks: as many as lately, or as content predicts.

Interactions of `HALF_LIFE_DAYS` ago count half. An item's rate is that of a Gamma-Poisson model (Bühlmann's
credibility): what was observed, and what its content predicts as if seen for `PRIOR_DAYS`, over the days of both. So a
new item is believed what content says, and an item that has long been there what happened.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.representation.content import UNKNOWN_TIME
from ranking.representation.inputs import Masked
from ranking.representation.kernels import kernel, ridge
from ranking.types import Floats, Interactions, Times

WINDOW_DAYS: Final = 28
HALF_LIFE_DAYS: Final = 90.0
PRIOR_DAYS: Final = 7.0
MAX_TAUGHT: Final = 2048  # items learned from, at random
DAY_US: Final = 86_400_000_000

Days: TypeAlias = npt.NDArray[np.float64]


def expected_demand(
    rows: Mapping[str, Masked], log: Interactions, created_at: Times, *, now: int, strength: float, seed: int = 0
) -> Floats:
    """Interactions expected in the next `WINDOW_DAYS`, float32 [n].

    rows: head -> one row an item, at least one head. log: interactions before `now` (microseconds UTC). created_at:
    [n]; an item of unknown age is as old as its first interaction, or new if it has none. strength: shrinkage of the
    prediction.
    """
    counted, days = _observed(log, created_at, now)
    predicted = _predicted(rows, counted, days, strength, seed)
    return np.asarray(WINDOW_DAYS * (counted + PRIOR_DAYS * predicted) / (days + PRIOR_DAYS), np.float32)


def _observed(log: Interactions, created_at: Times, now: int) -> tuple[Floats, Floats]:
    """Interactions of each item, and the days in which they came; both fade with age."""
    counted = np.bincount(log.item, _weight((now - log.occurred_at) / DAY_US), minlength=len(created_at))
    first = np.full(len(created_at), now)
    np.minimum.at(first, log.item, log.occurred_at)
    since = np.where(created_at == UNKNOWN_TIME, first, np.minimum(created_at, first))
    opened = int(log.occurred_at.min()) if len(log) else now
    age_days = np.maximum(now - np.maximum(since, opened), 0) / DAY_US
    return np.asarray(counted, np.float32), np.asarray(_faded(age_days), np.float32)


def _predicted(rows: Mapping[str, Masked], counted: Floats, days: Floats, strength: float, seed: int) -> Floats:
    """Interactions a day as content predicts them; 0 where no item has been there for a while.

    Kernel ridge of log(1 + those of a window), learned from items that have been there for a window.
    """
    settled = days >= min(_faded(np.array(WINDOW_DAYS)), days.max(initial=0.0))
    known = np.flatnonzero(settled & (days > 0))
    known = np.sort(np.random.default_rng(seed).permutation(known)[:MAX_TAUGHT])
    if not len(known):
        return np.zeros(len(days), np.float32)
    seen = np.log1p(WINDOW_DAYS * counted[known] / days[known])
    mean = seen.mean()
    taught = {head: one.rows(known) for head, one in rows.items()}
    weights = ridge(kernel(taught, taught), (seen - mean)[:, None], strength)
    found = np.concatenate(
        [
            kernel({head: one.rows(some) for head, one in rows.items()}, taught) @ weights[:, 0]
            for some in np.array_split(np.arange(len(days)), -(-len(days) // MAX_TAUGHT))
        ]
    )
    return np.asarray(np.expm1(np.maximum(found + mean, 0)) / WINDOW_DAYS, np.float32)


def _weight(age_days: Days) -> Days:
    """What an interaction of that age counts."""
    return np.asarray(2 ** (-age_days / HALF_LIFE_DAYS))


def _faded(days: Days) -> Days:
    """What the latest days count together: the integral of `_weight`."""
    return np.asarray(HALF_LIFE_DAYS / np.log(2) * (1 - _weight(days)))
