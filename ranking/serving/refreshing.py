"""Online features of the users and items of new events, and of those whose turn the store missed."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import compute, schema
from feature_repo.errors import StoreError
from ranking.serving.answer import Loaded
from ranking.serving.store_calls import StoreCalls

MOST_OWED: Final = 10_000  # users, and items; of more, those that came first are forgotten till their next event
CHUNK: Final = 200  # users, and items, of those owed that are written at once: events wait so long at most

_log = logging.getLogger(__name__)


class Refresher:
    """Who writes holds `writing`; any number may ask what is owed.

    Args:
        calls: of the online store.
        memory: held while events are read from memory.
        writing: held while events are taken in.
        now: up to when everything is known.
        retry_s: seconds between attempts while the store does not answer.
    """

    def __init__(
        self,
        calls: StoreCalls,
        *,
        memory: threading.Lock,
        writing: threading.Lock,
        now: Callable[[], datetime],
        retry_s: float,
    ) -> None:
        self._calls, self._memory, self._writing, self._now, self._retry_s = calls, memory, writing, now, retry_s
        self._users: dict[str, None] = {}
        self._items: dict[str, None] = {}
        self._try_at = 0.0
        self._settling = threading.Lock()

    @property
    def owes(self) -> int:
        """Users and items whose online features are behind, as the store did not answer."""
        return len(self._users) + len(self._items)

    @property
    def due(self) -> bool:
        """Whether something is owed that may be written now."""
        return bool(self.owes) and time.monotonic() >= self._try_at

    def refresh(self, loaded: Loaded, events: pa.Table) -> bool:
        """Bring the users and items of events up to date; False when the store does not answer: then they are owed."""
        users, items = (pc.unique(events[name]).to_pylist() for name in (schema.USER_ID, schema.ITEM_ID))
        if not users and not items:
            return True
        if self._calls.open and time.monotonic() < self._try_at:  # computing their rows would be in vain
            self._owe(users, items)
            return False
        return self._write(loaded, users, items)

    def settle(self, loaded: Callable[[], Loaded]) -> None:
        """Begin to write what is owed, in a thread, unless one does so. loaded: the release that answers then."""
        if self._settling.acquire(blocking=False):
            threading.Thread(target=self._settle, args=(loaded,), name="settle-features", daemon=True).start()

    def _settle(self, loaded: Callable[[], Loaded]) -> None:
        try:
            going = True
            while going and self.owes:
                with self._writing:
                    going = self._write(loaded(), list(islice(self._users, CHUNK)), list(islice(self._items, CHUNK)))
        finally:
            self._settling.release()

    def _write(self, loaded: Loaded, users: Sequence[str], items: Sequence[str]) -> bool:
        """Write the rows of users and items, or owe them."""
        with self._memory:
            known = loaded.recorded.of(users, items)
        there = set(pc.unique(known[schema.USER_ID]).to_pylist())  # who was forgotten meanwhile is owed nothing
        rows = compute.rows_at(
            known,
            loaded.catalogue.items_of(known),
            at=self._now(),
            users=[user for user in users if user in there],
            item_ids=items,
        )
        try:
            self._calls.run(lambda: loaded.store.push_all(rows), entities=len(users) + len(items))
        except StoreError as error:
            self._try_at = time.monotonic() + self._retry_s
            self._owe(users, items)
            _log.warning("online features of %d users and items stay behind: %s", self.owes, error)
            return False
        for owed, ids in ((self._users, users), (self._items, items)):
            for one in ids:
                owed.pop(one, None)
        return True

    def _owe(self, users: Sequence[str], items: Sequence[str]) -> None:
        for owed, ids in ((self._users, users), (self._items, items)):
            owed.update(dict.fromkeys(ids))
            for one in list(islice(owed, max(len(owed) - MOST_OWED, 0))):
                del owed[one]
