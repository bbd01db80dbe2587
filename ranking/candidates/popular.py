"""What many choose: of all time, or lately."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import Arrays
from ranking.candidates.generator import NOT_OFFERED, Generator, Places, first_codes, first_in, in_order, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.state import load_state, save_state
from ranking.types import Bools, Codes, Floats, Interactions, Queries, Times

FORGOTTEN: Final = 20  # half-lives after which an event counts a millionth
EARLIER: Final = 1e-3  # what an event before the window counts: it only breaks ties


@dataclass(frozen=True)
class PopularConfig:
    """feedback: the events that are counted."""

    feedback: Feedback = Feedback.ALL


class Popular(Generator):
    """Items by the sum of the weights of all their training events, the same for every query.

    Items without a training event are not offered.
    """

    name: ClassVar[str] = "popular"

    def __init__(self, config: PopularConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = Memory(self.config.feedback).training(train)
        total = np.bincount(chosen.item, chosen.weight, minlength=len(train.items))
        return self._holding(np.where(total > 0, total, NOT_OFFERED).astype(np.float32))

    def _holding(self, score: Floats) -> Self:
        """Answer with these scores, float32 [n_items]."""
        self._score, self._order = score, in_order(score)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: summed event weights."""
        return np.tile(self._score, (len(queries), 1))

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        return self._score[None, items].repeat(len(queries), axis=0)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Counted once."""
        return first_in(self._order, offered, k)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"score": self._score})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, PopularConfig)
        return cls(config)._holding(state.floats("score"))


@dataclass(frozen=True)
class PopularWindowedConfig:
    """Hyper-parameters of `PopularWindowed`.

    window_days: events older than this, seen from the query's `as_of`, count next to nothing.
    half_life_days: an event of this age counts half; None: all in the window count alike.
    feedback: the events that are counted.
    """

    window_days: float | None = 28.0
    half_life_days: float | None = None
    feedback: Feedback = Feedback.ALL


class PopularWindowed(Generator):
    """Items by the weights of their events in the days before the query's `as_of`, and only before it.

    Events earlier than the window break ties. When `as_of` lies after the log's end, the window ends with the log: a
    model that is not refitted goes stale, but not silent. Items without any training event are not offered.
    """

    name: ClassVar[str] = "popular_windowed"

    def __init__(self, config: PopularWindowedConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = Memory(self.config.feedback).training(train)
        known = np.bincount(chosen.item, minlength=len(train.items)) > 0
        return self._counting(chosen.item, chosen.occurred_at, chosen.weight, known)

    def _counting(self, item: Codes, at: Times, weight: Floats, known: Bools) -> Self:
        """Answer by these events; what holds from the log's end on is counted once."""
        self._item, self._occurred_at, self._weight, self._known = item, at, weight, known
        self._end = int(at[-1]) + 1 if len(at) else 0
        self._log = object()  # under which a query keeps its scores
        self._at_end = offer_only(known, self._counts(self._end, len(known)))
        self._order = in_order(self._at_end)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: summed, faded event weights of the window, plus a thousandth of the earlier ones."""
        moments, row = np.unique(np.minimum(queries.as_of, self._end), return_inverse=True)
        return np.stack([self._scores(moment) for moment in moments.tolist()] or [self._at_end])[row]

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        if self._log in queries.told:
            return queries.told[self._log][None, items]
        scores = [self._scores(moment)[items] for moment in queries.as_of.tolist()]
        return np.stack(scores or [self._at_end[items]])[: len(queries)]

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Counted once for all moments from the log's end on."""
        moment = int(query.as_of[0])
        query.told[self._log] = scores = self._scores(moment)  # events are counted, which takes long
        return first_codes(scores, offered, k) if moment < self._end else first_in(self._order, offered, k)

    def _scores(self, moment: int) -> Floats:
        """Of all items at a moment, `NOT_OFFERED` for those without any event, float32 [n_items]."""
        if moment >= self._end:
            return self._at_end
        return offer_only(self._known, self._counts(moment, len(self._known)))

    def _counts(self, moment: int, n_items: int) -> npt.NDArray[np.float64]:
        config, at = self.config, self._occurred_at
        until = int(np.searchsorted(at, moment))  # events strictly before
        end = min(moment, self._end)
        days = min(config.window_days or np.inf, FORGOTTEN * (config.half_life_days or np.inf))
        since = int(np.searchsorted(at, end - days * DAY_US)) if np.isfinite(days) else 0
        weight = self._weight[since:until].astype(np.float64)
        if config.half_life_days is not None:
            weight *= np.exp2((at[since:until] - end) / (config.half_life_days * DAY_US))
        recent = np.bincount(self._item[since:until], weight, minlength=n_items)
        return recent + EARLIER * np.bincount(self._item[:since], self._weight[:since], minlength=n_items)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays: Arrays = {
            "item": self._item,
            "occurred_at": self._occurred_at,
            "weight": self._weight,
            "known": self._known,
        }
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, PopularWindowedConfig)
        arrays = state.codes("item"), state.times("occurred_at"), state.floats("weight"), state.bools("known")
        return cls(config)._counting(*arrays)
