"""Parity: vectors that were served, computed again by the offline path and compared value by value.

The offline path is the one that training rows take, all of it: the views' rows at every change, written to Parquet,
joined by Feast at each vector's own moment, on-demand views by Feast, ttl by Feast. It shares the definitions with the
online path and nothing else: no online store, no statement for one moment, no push. It runs in a store of its own in a
temporary folder, over all events of the vectors' users and items, so that what a home materialized does not matter.

What a vector could know is decided by two times. An event counts if it `occurred_at` before the vector's moment and was
`received_at` before its features were read. Then:

- late: it occurred before the moment and was received after the reading. Serving could not know it, so the vector is
  compared without it; but training sees it now. Both are reported.
- in flight: received at most `IN_FLIGHT` before the reading. Its push may not have been through: a value without it
  is accepted and reported.
- open window: between the entity's last event and the moment, older events left a window, and the hourly run was yet to
  come. A count of up to `OPEN_WINDOW` ago is accepted, for views with windows alone, and reported.

Everything else that differs is a fault.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import compute, schema, transforms
from feature_repo.event_rows import RECEIVED_AT
from feature_repo.parity_report import DIFFERENT, EXACT, FLYING, OPEN, ROUNDED, SHOWN, Difference, Report
from feature_repo.plan import Plan
from feature_repo.served import READ_AT, RELEASE
from feature_repo.settings import OnlineStore, Settings
from feature_repo.store import Store

IN_FLIGHT: Final = timedelta(seconds=2)
OPEN_WINDOW: Final = timedelta(hours=2)
FLOAT32: Final = 2.0**-22  # of the value: two units in the last place, since sums may be rounded in another order

ASKED: Final = (
    schema.USER_ID,
    schema.ITEM_ID,
    schema.EVENT_TIMESTAMP,
    transforms.REQUESTED_AT,
    schema.DEVICE,
    schema.PLACE,
)


def replay(served: pa.Table, *, service: str, store: Store, events: pa.Table, items: pa.Table) -> Report:
    """Compare served vectors of one service with what the offline path says of each.

    served: `ASKED`, the service's features, `request_id`, `READ_AT`, `RELEASE`. store: the home's, for views that are
    not computed from events. events: `schema.LABELLED_EVENTS` and `RECEIVED_AT`, all there are of these users and
    items. items: `schema.ITEMS`, as they are now: a changed item makes its older vectors differ.
    """
    events = _of_entities(events, served)
    with _offline(service, store, events, items) as offline:
        return _Replay(served, events, offline).run()


class _Offline:
    """The offline path in a store of its own."""

    def __init__(self, store: Store, service: str, items: pa.Table) -> None:
        self._store, self._service, self._items = store, service, items
        self.plan: Plan = store.plan(service)
        self._written: pa.Table | None = None

    def frame(self, rows: pa.Table, events: pa.Table) -> pa.Table:
        """The service's features for rows of `ASKED`, known from these events alone."""
        until = pc.max(rows[schema.EVENT_TIMESTAMP]).as_py()
        events = events.select(schema.LABELLED_EVENTS.names)
        for name in compute.BEHAVIOUR:
            self._store.write_view(name, compute.view_rows(name, events, self._items, until=until))
        found = self._store.training_frame(rows.select(ASKED), service=self._service)
        return found.select(list(self.plan.columns))


@contextmanager
def _offline(service: str, home: Store, events: pa.Table, items: pa.Table) -> Iterator[_Offline]:
    with tempfile.TemporaryDirectory(prefix="trichord-parity-") as folder:
        here = Settings(home=Path(folder), online_store=OnlineStore.PACKED, online_url=None)  # never the real server
        store = Store(here)
        store.apply()
        store.write_view("item_content", compute.content_rows(items))
        offline = _Offline(store, service, items)
        for views in offline.plan.stored.values():
            for name in views.keys() - {*compute.BEHAVIOUR, "item_content"}:
                store.write_view(name, home.read_view(name))
        yield offline


class _Replay:
    """One replay: what every vector could know, and whether its values follow from that."""

    def __init__(self, served: pa.Table, events: pa.Table, offline: _Offline) -> None:
        self._served, self._events, self._offline = served, events, offline
        self._columns = list(offline.plan.columns)
        self._at = _times(served[schema.EVENT_TIMESTAMP])
        self._read_at = _times(served[READ_AT])
        self._rows_of = {key: _rows_of(events[key]) for key in (schema.USER_ID, schema.ITEM_ID)}
        self._occurred_at = _times(events[schema.OCCURRED_AT])
        self._received_at = _times(events[RECEIVED_AT])  # null: before all
        self._report = Report(
            requests=len(pc.unique(served[schema.REQUEST_ID])),
            vectors=len(served),
            features={name: Counter() for name in self._columns},
        )

    def run(self) -> Report:
        """Compare all vectors."""
        hindsight = self._offline.frame(self._served, self._events)
        late: set[int] = set()
        in_time: list[int] = []
        for read_at in np.unique(self._read_at).tolist():
            rows = np.flatnonzero(self._read_at == read_at).tolist()
            after = {row: self._touched(row, since=read_at) for row in rows}
            if not any(map(len, after.values())):
                in_time += rows
                continue
            known = self._events.filter(pa.array(self._received_at < read_at))
            then = self._offline.frame(self._served.take(rows), known)
            self._tell_late(hindsight.take(rows), then)
            self._report.late_vectors += sum(map(bool, map(len, after.values())))
            late.update(*(events.tolist() for events in after.values()))
            self._compare(rows, then, known)
        self._report.late_events = len(late)
        if in_time:
            self._compare(in_time, hindsight.take(in_time), self._events)
        return self._report

    def _touched(self, row: int, *, since: int) -> npt.NDArray[np.int64]:
        """Events of the vector's user or item that occurred before its moment and were received since another."""
        keys = (schema.USER_ID, schema.ITEM_ID)
        mine = [self._rows_of[key].get(self._served[key][row].as_py(), _NONE) for key in keys]
        both: npt.NDArray[np.int64] = np.unique(np.concatenate(mine))
        wanted: npt.NDArray[np.bool_] = (self._occurred_at[both] < self._at[row]) & (self._received_at[both] >= since)
        return both[wanted]

    def _tell_late(self, now: pa.Table, then: pa.Table) -> None:
        for name in self._columns:
            if changed := int((~_same(now[name], then[name])[1]).sum()):
                self._report.late_features[name] += changed

    def _compare(self, rows: list[int], then: pa.Table, known: pa.Table) -> None:
        """Count the outcome of every value of some vectors; look for a known reason where one differs."""
        served = self._served.take(rows)
        wrong: set[tuple[int, str]] = set()
        for name in self._columns:
            exact, close = _same(served[name], then[name])
            self._report.features[name].update({EXACT: int(exact.sum()), ROUNDED: int((close & ~exact).sum())})
            wrong |= {(place, name) for place in np.flatnonzero(~close).tolist()}
        flying = self._in_flight(rows, served, wrong)
        opened = self._open_window(served, wrong - flying, known)
        for place, name in sorted(wrong):
            reason = FLYING if (place, name) in flying else OPEN if (place, name) in opened else DIFFERENT
            self._report.features[name][reason] += 1
            if reason == DIFFERENT:
                self._tell_difference(served.slice(place, 1), then.slice(place, 1), name)

    def _in_flight(self, rows: list[int], served: pa.Table, wrong: set[tuple[int, str]]) -> set[tuple[int, str]]:
        """Which values are as they were before some event whose push may not have been through."""
        found: set[tuple[int, str]] = set()
        for place in sorted({place for place, _ in wrong}):
            read_at, one = self._read_at[rows[place]], served.slice(place, 1)
            received = self._received_at[self._touched(rows[place], since=read_at - IN_FLIGHT // _US)]
            for moment in np.unique(received[received < read_at]).tolist():
                before = self._offline.frame(one, self._events.filter(pa.array(self._received_at < moment)))
                mine = [name for where, name in wrong if where == place]
                found |= {(place, name) for name in mine if _same(one[name], before[name])[1][0]}
        return found

    def _open_window(self, served: pa.Table, wrong: set[tuple[int, str]], known: pa.Table) -> set[tuple[int, str]]:
        """Which values are those of a moment since the entity's last event, when a window still held more."""
        asked: list[tuple[int, datetime, str]] = []
        for key, views in self._offline.plan.stored.items():
            for view in [view for name, view in views.items() if name in _WINDOWED]:
                mine = [(place, name) for place, name in sorted(wrong) if name in view.fields]
                moments = {place: self._moments(key, served, place, known) for place in {place for place, _ in mine}}
                asked += [(place, moment, name) for place, name in mine for moment in moments[place]]
        if not asked:
            return set()
        rows = served.take([place for place, _, _ in asked])
        where = rows.column_names.index(schema.EVENT_TIMESTAMP)
        moments_of = pa.array([moment for _, moment, _ in asked], schema.TIMESTAMP)
        then = self._offline.frame(rows.set_column(where, schema.EVENT_TIMESTAMP, moments_of), known)
        return {
            (place, name)
            for row, (place, _, name) in enumerate(asked)
            if _same(rows[name].slice(row, 1), then[name].slice(row, 1))[1][0]
        }

    def _moments(self, key: str, served: pa.Table, place: int, known: pa.Table) -> list[datetime]:
        """When in the last `OPEN_WINDOW` an entity had another row, for another reason than an event of its own."""
        at = served[schema.EVENT_TIMESTAMP][place].as_py()
        mine = known.filter(pc.equal(known[key], served[key][place]))
        times = [one for one in mine[schema.OCCURRED_AT].to_pylist() if one < at]
        if not times:
            return []
        first = max(at - OPEN_WINDOW, max(times) + compute.TICK)
        left = {one + window + compute.TICK for one in times for window in _WINDOWS}
        return [first, *sorted(moment for moment in left if first < moment < at)]

    def _tell_difference(self, one: pa.Table, then: pa.Table, name: str) -> None:
        if len(self._report.differences) < SHOWN:
            row = one.select([*ASKED[:3], schema.REQUEST_ID, RELEASE]).to_pylist()[0]
            values = {"served": one[name][0].as_py(), "offline": then[name][0].as_py()}
            self._report.differences.append(
                Difference(
                    name,
                    row[schema.USER_ID],
                    row[schema.ITEM_ID],
                    row[schema.EVENT_TIMESTAMP].isoformat(),
                    **values,
                    request_id=row[schema.REQUEST_ID],
                    release=row[RELEASE],
                )
            )


_WINDOWED: Final = {name for name, behaviour in compute.BEHAVIOUR.items() if behaviour.windows}
_WINDOWS: Final = {window for behaviour in compute.BEHAVIOUR.values() for window in behaviour.windows}
_US: Final = timedelta(microseconds=1)
_NONE: Final = np.empty(0, np.int64)


def _of_entities(events: pa.Table, served: pa.Table) -> pa.Table:
    """Events of any user or item of the vectors."""
    keys = (schema.USER_ID, schema.ITEM_ID)
    mine = [pc.is_in(events[key], pc.unique(served[key])) for key in keys]
    return events.filter(pc.or_(*mine)).combine_chunks()


def _times(moments: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Microseconds since 1970, 0 for null."""
    return np.asarray(pc.fill_null(moments.cast(pa.int64()), 0), np.int64)


def _rows_of(entities: pa.ChunkedArray) -> Mapping[str, npt.NDArray[np.int64]]:
    rows: dict[str, list[int]] = {}
    for row, entity in enumerate(entities.to_pylist()):
        rows.setdefault(entity, []).append(row)
    return {entity: np.array(places, np.int64) for entity, places in rows.items()}


def _same(one: pa.ChunkedArray, other: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Bool [2, n]: whether values are the same, and whether they are but for float32 rounding."""
    if pa.types.is_nested(one.type):
        return np.array([_same_list(*pair) for pair in zip(one.to_pylist(), other.to_pylist(), strict=True)]).T
    null = np.asarray(pc.is_null(one)) & np.asarray(pc.is_null(other))
    if pa.types.is_floating(one.type):
        a, b = (np.asarray(column.cast(pa.float64()).to_numpy(), np.float64) for column in (one, other))
        known = np.asarray(pc.is_valid(one)) & np.asarray(pc.is_valid(other))
        exact = null | (known & ((a == b) | (np.isnan(a) & np.isnan(b))))
        close = known & (np.abs(a - b) <= FLOAT32 * np.abs(b)) if one.type == pa.float32() else exact
        return np.stack([exact, exact | close])
    exact = null | np.asarray(pc.fill_null(pc.equal(one, other), False))
    return np.stack([exact, exact])


def _same_list(one: list[object] | None, other: list[object] | None) -> tuple[bool, bool]:
    if one == other or one is None or other is None or len(one) != len(other):
        return one == other, one == other
    close = all(
        (isinstance(a, float) and isinstance(b, float) and abs(a - b) <= FLOAT32 * abs(b)) or a == b
        for a, b in zip(one, other, strict=True)
    )
    return False, close
