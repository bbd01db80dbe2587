"""Who met what and when, in memory: read by requests without a lock, grown by accepted events."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from heapq import merge
from itertools import islice

import numpy as np
import numpy.typing as npt

from ranking.types import Bools, Codes, Floats, Interactions, Times


@dataclass(frozen=True)
class History:
    """Interactions of one user or session in time order: item int32 [m], occurred_at int64, weight, positive."""

    item: Codes
    occurred_at: Times
    weight: Floats
    positive: Bools

    def __len__(self) -> int:
        return len(self.item)

    def then(self, later: "History") -> "History":
        """Both, in time order; of one moment, this one's first."""
        at = np.concatenate([self.occurred_at, later.occurred_at])
        order = np.argsort(at, kind="stable")
        return History(
            np.concatenate([self.item, later.item])[order],
            at[order],
            np.concatenate([self.weight, later.weight])[order],
            np.concatenate([self.positive, later.positive])[order],
        )

    def before(self, moment: int) -> "History":
        """What happened before a moment."""
        stop = int(np.searchsorted(self.occurred_at, moment))
        return History(self.item[:stop], self.occurred_at[:stop], self.weight[:stop], self.positive[:stop])


EMPTY = History(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, bool))


class Histories:
    """Each user's history. One thread may `add` while any number call `of`: a user's entry is replaced as a whole."""

    def __init__(self, log: Interactions) -> None:
        self._log, self._rows = _by_user(log)
        self._grown: dict[str, History] = {}

    def __contains__(self, user_id: str) -> bool:
        return user_id in self._grown or user_id in self._rows

    def of(self, user_id: str) -> History:
        """A user's history, empty for one whom no event names."""
        grown = self._grown.get(user_id)
        if grown is not None:
            return grown
        rows = self._rows.get(user_id)
        return EMPTY if rows is None else _part(self._log, rows)

    def some(self, n: int) -> list[str]:
        """Up to n of the users there were from the beginning, evenly spaced among them: always the same."""
        step = max(len(self._rows) // max(n, 1), 1)
        return list(islice(self._rows, 0, step * n, step))

    def most_active(self, prefix: str, limit: int) -> list[tuple[str, int]]:
        """Users whose id begins so, with the number of their events: the most first, then by id."""
        grown = self._grown.copy()
        first = ((user_id, n) for user_id, n in self._by_activity if user_id not in grown)
        later = sorted(((user_id, len(mine)) for user_id, mine in grown.items()), key=_activity)
        ranked: Iterator[tuple[str, int]] = merge(first, later, key=_activity)
        return list(islice((one for one in ranked if one[0].startswith(prefix)), limit))

    def events_by_item(self, n_items: int) -> npt.NDArray[np.int64]:
        """How many of the events there were from the beginning each item has, int64 [n_items]."""
        return np.bincount(self._log.item, minlength=n_items)

    @cached_property
    def _by_activity(self) -> list[tuple[str, int]]:
        return sorted(((user_id, mine.stop - mine.start) for user_id, mine in self._rows.items()), key=_activity)

    def add(self, log: Interactions) -> None:
        """Take in further interactions of any time; their items have the codes of the first ones."""
        log, rows = _by_user(log)
        for user_id, mine in rows.items():
            self._grown[user_id] = self.of(user_id).then(_part(log, mine))


def session(items: Codes, moment: int) -> History:
    """An anonymous history: items liked one after the other, the last of them just before a moment."""
    n = len(items)
    return History(items, moment - np.arange(n, 0, -1), np.ones(n, np.float32), np.ones(n, bool))


def _activity(user: tuple[str, int]) -> tuple[int, str]:
    """What users are ordered by."""
    return -user[1], user[0]


def _by_user(log: Interactions) -> tuple[Interactions, dict[str, slice]]:
    """Interactions user by user, in time order, and each one's rows."""
    order = np.argsort(log.user, kind="stable")
    log = log.where(order)
    bounds = np.searchsorted(log.user, np.arange(len(log.users) + 1)).tolist()
    spans = zip(log.users.ids, bounds, bounds[1:], strict=False)
    return log, {user_id: slice(start, end) for user_id, start, end in spans if end > start}


def _part(log: Interactions, rows: slice) -> History:
    return History(log.item[rows], log.occurred_at[rows], log.weight[rows], log.positive[rows])
