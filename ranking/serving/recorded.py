"""All events in memory, so that what an event touches can be computed anew without reading the log's files."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema

_OF: Final = """
    select * from events
    where list_contains($users, user_id) or list_contains($items, item_id)
    order by occurred_at, event_id
"""


class Recorded:
    """Events of `schema.EVENTS`, each once, in a DuckDB table; for one thread at a time."""

    def __init__(self, events: pa.Table) -> None:
        self._duck = duckdb.connect()
        self._duck.execute("set timezone = 'UTC'")
        self._duck.from_arrow(events).create("events")
        self.last: datetime | None = pc.max(events[schema.OCCURRED_AT]).as_py()

    def known(self, event_ids: Sequence[str]) -> set[str]:
        """Those of the ids that are recorded."""
        found = self._duck.execute("select event_id from events where list_contains(?, event_id)", [list(event_ids)])
        return {event_id for (event_id,) in found.fetchall()}

    def add(self, events: pa.Table) -> None:
        """Record further events, whose ids are new."""
        self._duck.from_arrow(events).insert_into("events")
        latest = pc.max(events[schema.OCCURRED_AT]).as_py()
        if latest is not None and (self.last is None or latest > self.last):
            self.last = latest

    def of(self, users: Sequence[str], items: Sequence[str]) -> pa.Table:
        """All events of these users, and all of these items, in time order."""
        found = self._duck.sql(_OF, params={"users": list(users), "items": list(items)})
        return found.to_arrow_table().cast(schema.EVENTS)
