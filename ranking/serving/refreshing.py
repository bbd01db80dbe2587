"""Online features of the users and items of new events, and of those whose turn the store missed."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import compute, schema
from feature_repo.errors import StoreError
from ranking.serving.answer import Loaded
from ranking.serving.store_calls import StoreCalls

MOST_OWED: Final = 10_000  # users, and items; of more, those that came first are forgotten till their next event

_log = logging.getLogger(__name__)


class Refresher:
    """One thread refreshes at a time; any number may ask what is owed.

    Args:
        calls: of the online store.
        memory: held while events are read from memory.
        now: up to when everything is known.
        retry_s: seconds between attempts to make up for what was missed.
    """

    def __init__(
        self, calls: StoreCalls, *, memory: threading.Lock, now: Callable[[], datetime], retry_s: float
    ) -> None:
        self._calls, self._memory, self._now, self._retry_s = calls, memory, now, retry_s
        self._users: dict[str, None] = {}
        self._items: dict[str, None] = {}
        self._settle_at = 0.0

    @property
    def owes(self) -> int:
        """Users and items whose online features are behind, as the store did not answer."""
        return len(self._users) + len(self._items)

    @property
    def due(self) -> bool:
        """Whether to try to make up for them now."""
        return bool(self.owes) and time.monotonic() >= self._settle_at

    def refresh(self, loaded: Loaded, events: pa.Table) -> bool:
        """Bring the users and items of events up to date, with all that are owed; False when the store does not answer.

        What could not be written is owed.
        """
        new = [pc.unique(events[name]).to_pylist() for name in (schema.USER_ID, schema.ITEM_ID)]
        users, items = list(dict.fromkeys([*self._users, *new[0]])), list(dict.fromkeys([*self._items, *new[1]]))
        if not users and not items:
            return True
        self._settle_at = time.monotonic() + self._retry_s
        with self._memory:
            known = loaded.recorded.of(users, items)
        there = set(pc.unique(known[schema.USER_ID]).to_pylist())
        users = [user for user in users if user in there]  # who was forgotten meanwhile is owed nothing
        rows = compute.rows_at(known, loaded.catalogue.items_of(known), at=self._now(), users=users, item_ids=items)
        try:
            self._calls.run(lambda: loaded.store.push_all(rows), entities=len(users) + len(items))
        except StoreError as error:
            self._users, self._items = _latest(users), _latest(items)
            _log.warning("online features of %d users and items stay behind: %s", self.owes, error)
            return False
        self._users, self._items = {}, {}
        return True


def _latest(ids: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(list(ids)[-MOST_OWED:])
