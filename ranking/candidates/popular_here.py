"""What many choose in such surroundings: on this device, at this place, at this time of the day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.artifacts import Arrays, load_as, save_as
from ranking.candidates.generator import Generator, Places, first_codes, first_in, in_order, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.state import load_state, save_state
from ranking.types import UNKNOWN, Bools, Codes, Floats, Interactions, Queries, Strings, Times

DAYPARTS: Final = 4  # of six hours, UTC
EARLIER: Final = 1e-3  # what an event before the window counts: it only breaks ties
KEPT: Final = 64  # surroundings whose scores are kept: 200,000 items take 1.6 MB each
FLOOR: Final = 1e-6  # events of an item without any in time, so that its logarithm is there
VALUES_FILE: Final = "values.json"

Values: TypeAlias = tuple[tuple[str, ...], ...]  # of device and of place, in the order of their codes


@dataclass(frozen=True)
class PopularHereConfig:
    """Hyper-parameters of `PopularHere`.

    window_days: events older than this, seen from the query's `as_of`, count next to nothing; None: all count.
    prior: events that everybody's choices weigh beside those made in the same surroundings.
    feedback: the events that are counted.
    """

    window_days: float | None = 365.0
    prior: float = 10.0
    feedback: Feedback = Feedback.ALL


class PopularHere(Generator):
    """Items by the log of their windowed popularity, plus how much more often they are chosen in such surroundings.

    For each of device, place and part of the day, log((chosen there + prior) / (expected there + prior)), where what is
    expected is the item's share of all events times those made there; a query that lacks one is answered without it,
    and so is one of a value that was never seen. Events at or after the query's `as_of` do not count. Items without any
    training event are not offered.
    """

    name: ClassVar[str] = "popular_here"

    def __init__(self, config: PopularHereConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        chosen = Memory(self.config.feedback).training(train)
        values = tuple(_distinct(one) for one in (chosen.device, chosen.place))
        where = _surroundings(values, chosen.device, chosen.place, chosen.occurred_at)
        known = np.bincount(chosen.item, minlength=len(train.items)) > 0
        return self._counting(values, chosen.item, chosen.occurred_at, chosen.weight, where, known)

    def _counting(
        self, values: Sequence[Mapping[str, int]], item: Codes, at: Times, weight: Floats, where: Codes, known: Bools
    ) -> Self:
        """Answer by these events; what holds from the log's end on is counted once for each surroundings."""
        self._values, self._item, self._occurred_at, self._weight = values, item, at, weight
        self._where, self._known = where, known
        self._end = int(at[-1]) + 1 if len(at) else 0
        self._log = object()  # under which a query keeps its scores
        self._at_end = lru_cache(maxsize=KEPT)(self._count_at_end)
        return self

    def _count_at_end(self, where: tuple[int, ...]) -> tuple[Floats, Codes]:
        """Scores of all items from the log's end on, and the items in their order."""
        scores = self._counted(self._end, where)
        return scores, in_order(scores).astype(np.int32)

    def score(self, queries: Queries) -> Floats:
        """Log of an expected number of events."""
        distinct, row = np.unique(self._asked(queries), axis=0, return_inverse=True)
        scores = np.empty((len(distinct), queries.n_items), np.float32)
        for index, (moment, *codes) in enumerate(distinct.tolist()):
            scores[index] = self._scores(moment, tuple(codes))
        return scores[row.reshape(-1)]

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        if self._log in queries.told:
            return queries.told[self._log][None, items]
        scores = np.empty((len(queries), len(items)), np.float32)
        for row, (moment, *codes) in enumerate(self._asked(queries).tolist()):
            scores[row] = self._scores(moment, tuple(codes))[items]
        return scores

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Counted once for all moments from the log's end on."""
        moment, *codes = self._asked(query)[0].tolist()
        query.told[self._log] = scores = self._scores(moment, tuple(codes))  # events are counted, which takes long
        return (
            first_codes(scores, offered, k)
            if moment < self._end
            else first_in(self._at_end(tuple(codes))[1], offered, k)
        )

    def _asked(self, queries: Queries) -> npt.NDArray[np.int64]:
        """Moment and surroundings of each query, [q, 4]; no moment lies after the log's end."""
        where = _surroundings(self._values, queries.device, queries.place, queries.at)
        return np.concatenate([np.minimum(queries.as_of, self._end)[None], where]).T

    def _scores(self, moment: int, where: tuple[int, ...]) -> Floats:
        """Of all items, float32 [n_items]; `NOT_OFFERED` for those without any event."""
        return self._counted(moment, where) if moment < self._end else self._at_end(where)[0]

    def _counted(self, moment: int, where: tuple[int, ...]) -> Floats:
        days, at, n_items = self.config.window_days, self._occurred_at, len(self._known)
        until = int(np.searchsorted(at, moment))  # events strictly before
        end = min(moment, self._end)
        since = 0 if days is None else min(until, int(np.searchsorted(at, end - days * DAY_US)))
        item, weight = self._item[since:until], self._weight[since:until].astype(np.float64)
        recent = np.bincount(item, weight, minlength=n_items)
        earlier = np.bincount(self._item[:since], self._weight[:since], minlength=n_items)
        score = np.log(recent + EARLIER * earlier + FLOOR)
        for mine, codes in zip(where, self._where[:, since:until], strict=True):
            here = codes == mine
            if mine != UNKNOWN and here.any():
                chosen = np.bincount(item[here], weight[here], minlength=n_items)
                expected = recent * (weight[here].sum() / weight.sum())
                score += np.log((chosen + self.config.prior) / (expected + self.config.prior))
        return offer_only(self._known, score)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays: Arrays = {
            "item": self._item,
            "occurred_at": self._occurred_at,
            "weight": self._weight,
            "where": self._where,
            "known": self._known,
        }
        save_as(folder / VALUES_FILE, tuple(tuple(values) for values in self._values), Values)
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, PopularHereConfig)
        names = load_as(folder / VALUES_FILE, Values)
        values = tuple({one: code for code, one in enumerate(of_column)} for of_column in names)
        arrays = state.codes("item"), state.times("occurred_at"), state.floats("weight"), state.codes("where")
        return cls(config)._counting(values, *arrays, state.bools("known"))


def _distinct(column: Strings) -> dict[str, int]:
    """Values of a column, in ascending order, and their codes."""
    return {one: code for code, one in enumerate(sorted({one for one in column.tolist() if one is not None}))}


def _surroundings(values: Sequence[Mapping[str, int]], device: Strings, place: Strings, at: Times) -> Codes:
    """Codes int32 [3, n] of device, place and part of the day, `UNKNOWN` where there is none."""
    device_codes, place_codes = (
        [known.get(one, UNKNOWN) for one in column.tolist()]
        for known, column in zip(values, (device, place), strict=True)
    )
    daypart = at % DAY_US * DAYPARTS // DAY_US
    return np.array([device_codes, place_codes, daypart], np.int32).reshape(3, len(at))
