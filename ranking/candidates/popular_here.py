"""What many choose in such surroundings: on this device, at this place, at this time of the day."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.artifacts import Arrays, load_as, save_as
from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import DAY_US, Feedback, Memory
from ranking.candidates.state import load_state, save_state
from ranking.types import UNKNOWN, Bools, Codes, Floats, Interactions, Queries, Strings, Times

DAYPARTS: Final = 4  # of six hours, UTC
EARLIER: Final = 1e-3  # what an event before the window counts: it only breaks ties
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
        self._values = tuple(_distinct(one) for one in (chosen.device, chosen.place))
        self._item: Codes = chosen.item
        self._occurred_at: Times = chosen.occurred_at
        self._weight: Floats = chosen.weight
        self._where: Codes = self._surroundings(chosen.device, chosen.place, chosen.occurred_at)
        self._known: Bools = np.bincount(chosen.item, minlength=len(train.items)) > 0
        return self

    def _surroundings(self, device: Strings, place: Strings, at: Times) -> Codes:
        """Codes int32 [3, n] of device, place and part of the day, `UNKNOWN` where there is none."""
        device_codes, place_codes = (
            [values.get(one, UNKNOWN) for one in column.tolist()]
            for values, column in zip(self._values, (device, place), strict=True)
        )
        daypart = at % DAY_US * DAYPARTS // DAY_US
        return np.array([device_codes, place_codes, daypart], np.int32).reshape(3, len(at))

    def score(self, queries: Queries) -> Floats:
        """Log of an expected number of events."""
        where = self._surroundings(queries.device, queries.place, queries.at)
        asked = np.concatenate([queries.as_of[None], where]).T
        distinct, row = np.unique(asked, axis=0, return_inverse=True)
        scores = np.empty((len(distinct), queries.n_items), np.float32)
        for index, (moment, *codes) in enumerate(distinct.tolist()):
            scores[index] = self._counted(moment, codes, queries.n_items)
        return offer_only(self._known, scores[row.reshape(-1)])

    def _counted(self, moment: int, where: list[int], n_items: int) -> npt.NDArray[np.float64]:
        days, at = self.config.window_days, self._occurred_at
        until = int(np.searchsorted(at, moment))  # events strictly before
        end = min(moment, int(at[-1]) + 1) if len(at) else moment
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
        return np.asarray(score)

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
        model = cls(config)
        model._values = tuple(
            {one: code for code, one in enumerate(values)} for values in load_as(folder / VALUES_FILE, Values)
        )
        model._item, model._occurred_at = state.codes("item"), state.times("occurred_at")
        model._weight, model._where, model._known = state.floats("weight"), state.codes("where"), state.bools("known")
        return model


def _distinct(column: Strings) -> dict[str, int]:
    """Values of a column, in ascending order, and their codes."""
    return {one: code for code, one in enumerate(sorted({one for one in column.tolist() if one is not None}))}
