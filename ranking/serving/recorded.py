"""All events in memory, so that what an event touches can be computed anew without reading the log's files."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.columns import distinct

_CHUNKS: Final = 256  # of events added one by one, before they are put together: taking rows from many is slow


class Recorded:
    """Labelled events, found by user and by item at a cost that grows only with their number; one thread at a time."""

    def __init__(self, events: pa.Table) -> None:
        self._first = events.combine_chunks()
        self._rows_of = {key: _by_entity(self._first[key]) for key in (schema.USER_ID, schema.ITEM_ID)}
        self._added = events.schema.empty_table()
        self._added_of: dict[str, defaultdict[str, list[int]]] = {key: defaultdict(list) for key in self._rows_of}

    def add(self, events: pa.Table) -> None:
        """Record further events, whose ids are new."""
        for key, rows in self._added_of.items():
            for row, entity in enumerate(events[key].to_pylist(), len(self._added)):
                rows[entity].append(row)
        self._added = pa.concat_tables([self._added, events])
        if self._added[schema.EVENT_ID].num_chunks > _CHUNKS:
            self._added = self._added.combine_chunks()

    def of(self, users: Sequence[str], items: Sequence[str]) -> pa.Table:
        """All events of these users, and all of these items, each once."""
        asked = [(schema.USER_ID, user) for user in users] + [(schema.ITEM_ID, item) for item in items]
        first = [self._rows_of[key].get(entity, _NONE) for key, entity in asked]
        added = [np.array(self._added_of[key].get(entity, ()), np.int64) for key, entity in asked]
        return pa.concat_tables([_take(self._first, first), _take(self._added, added)])

    def values(self, column: str) -> list[str]:
        """What the events that were there from the beginning say in a column of texts, in ascending order."""
        return sorted(pc.unique(self._first[column]).drop_null().to_pylist())


_Rows = npt.NDArray[np.int64]
_NONE: Final[_Rows] = np.empty(0, np.int64)


def _by_entity(entities: pa.ChunkedArray) -> dict[str, _Rows]:
    """The rows of every entity."""
    column = distinct(entities)
    codes = column.of_rows(np.arange(len(column.values)))
    rows, bounds = np.argsort(codes, kind="stable"), np.append(0, np.cumsum(np.bincount(codes))).tolist()
    spans = zip(column.values.to_pylist(), pairwise(bounds), strict=True)
    return {entity: rows[start:stop] for entity, (start, stop) in spans}


def _take(events: pa.Table, rows: list[_Rows]) -> pa.Table:
    return events.take(np.unique(np.concatenate([_NONE, *rows])))
