"""The event log: the durable, append-only record of what happened, once per event id.

    wal.log                                    the latest appends, one checksummed frame each (`write_ahead`)
    day=2024-02-29/00000007-1f3c9a52.parquet   events of that day (UTC), moved there from generation 7 of wal.log
    lock                                       held by the one process that writes
    forgotten.json                             of whom nothing from before is taken in (`tombstones`)

An append is one frame and one fsync, whether it holds one event or a hundred thousand, of one day or of thousands. Once
wal.log is large, its events are moved into day partitions: Parquet files that are written once, each with its CRC-32 in
its name, and made valid all at once by putting an empty wal.log of the next generation in place. So a reader, who needs
no lock, sees wal.log of generation g together with the files of generations below g: every event exactly once, whatever
writers do meanwhile, and nothing of a move that was cut off, which is simply done again.

Beside what happened when, each row tells when the log took it in (`received_at`, by this machine's clock): by that,
what was known at a moment can be told apart from what arrived late. It is no column of `schema.EVENTS`; ask for it by
`received=True`. Null where a log of an earlier version wrote the row.

Forgetting users is a move, too: it writes the days that name them whole again. So whoever reads sees all of a user's
events or none. It is the one way in which something leaves the log.

Why not a file per append and day: a first load of 22 years would need 4,000 fsyncs before it is acknowledged, a busy
hour would leave thousands of files of one row, and an append over several days would have no single moment at which it
counts. Ids are kept in memory by a process that appends (about 100 bytes an event).

In DuckDB: `log.relation(con)`, or after `log.compact()`, which leaves wal.log empty,
`select * from read_parquet('events/day=*/*.parquet')`.
"""

import fcntl
import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import day_partitions, event_rows, schema, write_ahead
from feature_repo.durable import sync_folder
from feature_repo.errors import EventLogError
from feature_repo.event_rows import RECEIVED_AT, STORED, News
from feature_repo.tombstones import Tombstones
from feature_repo.write_ahead import Position

_log = logging.getLogger(__name__)
COMPACT_AT: Final = 8 << 20  # bytes of wal.log: about 60,000 events in batches, or 3,000 appended one by one


@dataclass(frozen=True)
class Appended:
    """What became of a batch: `accepted` are on disk now, `duplicates` had been (or stood twice in the batch).

    Events from before their user was forgotten count as duplicates.
    """

    accepted: int
    duplicates: int


class EventLog:
    """Events of `schema.EVENTS` under one folder, for any number of threads and processes.

    The folder is made by the first append; a log without one is empty. Every method raises `EventLogError` for a folder
    that cannot be used and for a damaged file, naming it and the remedy.
    """

    def __init__(self, folder: Path, *, compact_at: int = COMPACT_AT) -> None:
        self.folder = folder
        self._compact_at = compact_at
        self._mutex = threading.RLock()
        self._position: Position | None = None  # how far wal.log is known
        self._fresh: list[pa.Table] = []  # what it holds up to there
        self._ids: set[str] | None = None  # every id up to there, once needed
        self._verified: set[Path] = set()
        self.forgotten = Tombstones(folder)

    def append(self, events: pa.Table) -> Appended:
        """Add the events whose ids are new, in any order of time; they are on disk when this returns.

        events: the columns of `schema.EVENTS`; others are left out. All of a batch becomes visible or none of it.
        """
        events = event_rows.conform(events)
        with self._writing():
            position, known = self._known_ids()
            living = self.forgotten.living(events[schema.USER_ID], events[schema.OCCURRED_AT])
            rows: dict[str, int] = {}
            for row, event_id in enumerate(events[schema.EVENT_ID].to_pylist()):
                if living[row] and event_id not in known:
                    rows.setdefault(event_id, row)
            new = events if len(rows) == len(events) else events.take(pa.array(rows.values(), pa.int64()))
            new = new.append_column(RECEIVED_AT, pa.repeat(pa.scalar(datetime.now(UTC), schema.TIMESTAMP), len(new)))
            end = write_ahead.append(self._wal, position.offset, new if len(new) else None)
            self._advance(Position(position.generation, end), [new])
            if end >= self._compact_at:
                try:
                    self._compact()
                except OSError as error:  # the batch is on disk, and the next append tries again
                    _log.warning("%s: %d bytes wait to be moved into day partitions: %s", self._wal, end, error)
        return Appended(accepted=len(new), duplicates=len(events) - len(new))

    def read(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        users: Collection[str] | None = None,
        items: Collection[str] | None = None,
        received: bool = False,
    ) -> pa.Table:
        """Events with since <= occurred_at < until, of those users and items, ascending in (occurred_at, event_id).

        received: with a further column `RECEIVED_AT`, null where it is not known.
        """

        def chosen(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
            found = self.relation(con, since=since, until=until, received=received)
            for column, wanted in ((schema.USER_ID, users), (schema.ITEM_ID, items)):
                if wanted is not None:
                    found = found.filter(event_rows.is_in(column, wanted))
            return found.order(f"{schema.OCCURRED_AT}, {schema.EVENT_ID}")

        table = self._table(chosen)
        return table.cast(STORED if received else schema.EVENTS)

    def relation(
        self,
        con: duckdb.DuckDBPyConnection,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        received: bool = False,
    ) -> duckdb.DuckDBPyRelation:
        """The log as it is now, in DuckDB: the columns of `schema.EVENTS`, each event once, in no order.

        `log.relation(con).create_view("events")` names it for SQL. It stays as it is while others append.
        """
        since, until = event_rows.utc(since), event_rows.utc(until)
        position, fresh = self._snapshot()
        files = self._partitions(position, since=since, until=until)
        return event_rows.relation(con, fresh, files, since=since, until=until, received=received)

    def read_up_to(self) -> News:
        """All events as `read` gives them, up to which position that is, and the ids that wal.log holds by then."""
        taken: list[tuple[Position, pa.Table]] = []

        def ordered(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
            taken.append(self._snapshot())
            position, fresh = taken[-1]
            every = event_rows.relation(con, fresh, self._partitions(position))
            return every.order(f"{schema.OCCURRED_AT}, {schema.EVENT_ID}")

        events = self._table(ordered).cast(schema.EVENTS)
        position, fresh = taken[-1]
        return events, position, fresh[schema.EVENT_ID].to_pylist()

    def since(self, position: Position) -> News | None:
        """Events after a position, up to which one that is, and the ids of those that stand in wal.log.

        Events of wal.log from before the position are among them if they were moved since. None where users were
        forgotten since.
        """
        with self._mutex:
            while True:
                now, fresh = self._snapshot()
                try:
                    return self._since(position, now, fresh)
                except (OSError, EventLogError):
                    if self._catch_up().generation == now.generation:  # else files were superseded meanwhile
                        raise

    def _since(self, position: Position, now: Position, fresh: pa.Table) -> News | None:
        if now.generation == position.generation:
            unread = write_ahead.read(self._wal, position)
            if unread.continued:
                events = pa.concat_tables([STORED.empty_table(), *unread.tables], promote_options="default")
                return events.select(schema.EVENTS.names), unread.position, events[schema.EVENT_ID].to_pylist()
            now, fresh = self._snapshot()
        if day_partitions.last_whole(self.folder, below=now.generation) >= position.generation:
            return None
        files = [file for file in self._partitions(now) if file.name >= f"{position.generation:08d}"]
        moved = [pq.read_table(file, partitioning=None) for file in files]
        events = pa.concat_tables([STORED.empty_table(), *moved, fresh], promote_options="default")
        return events.select(schema.EVENTS.names), now, fresh[schema.EVENT_ID].to_pylist()

    def ids(self) -> frozenset[str]:
        """Every event id."""
        with self._mutex:
            return frozenset(self._known_ids()[1])

    def known(self, event_ids: Collection[str]) -> set[str]:
        """Those of the ids that the log holds."""
        with self._mutex:
            _, known = self._known_ids()
            return {event_id for event_id in event_ids if event_id in known}

    def __len__(self) -> int:
        with self._mutex:
            return len(self._known_ids()[1])

    def last_occurred_at(self) -> datetime | None:
        """The latest moment that an event tells of, None for an empty log."""
        with self._mutex:
            files = day_partitions.listed(self.folder, below=self._catch_up().generation)
        last_day = day_partitions.midnight(files[-1]) if files else None
        times = self._table(lambda con: self.relation(con, since=last_day).select(schema.OCCURRED_AT))
        last: datetime | None = pc.max(times[schema.OCCURRED_AT]).as_py()
        return last

    def compact(self) -> None:
        """Move all of wal.log into the day partitions now: for a loader that is done."""
        with self._writing():
            self._compact()

    def forget(self, users: Collection[str]) -> int:
        """Erase all events of users, and take in none from before now; how many there were. Safe to do again."""
        with self._writing():
            self.forgotten.add(users, datetime.now(UTC))
            day_partitions.remove_unfinished(self.folder)
            self._compact()
            generation = self._catch_up().generation
            erased = day_partitions.write_without(self.folder, generation, self._partitions(self._catch_up()), users)
            self._position = write_ahead.start(self._wal, generation + 1)  # also cuts off a torn frame
            self._fresh, self._ids = [], None
            day_partitions.remove_superseded(self.folder, below=generation + 1)
        return erased

    @property
    def _wal(self) -> Path:
        return self.folder / "wal.log"

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the log as its only writer."""
        with self._mutex:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with (self.folder / "lock").open("w") as lock:
                    fcntl.flock(lock, fcntl.LOCK_EX)
                    if not self._wal.exists() and not day_partitions.exist(self.folder):
                        write_ahead.start(self._wal, 0)
                        sync_folder(self.folder.parent)
                    yield
            except OSError as error:
                raise EventLogError(
                    f"{self.folder}: cannot be written ({error}); nothing acknowledged is lost; make room, or choose a "
                    "folder that this user may write to, and append again"
                ) from error

    def _catch_up(self) -> Position:
        """Take in what all writers have put into wal.log; the position up to which it is known now."""
        try:
            unread = write_ahead.read(self._wal, self._position)
        except FileNotFoundError as error:
            if day_partitions.exist(self.folder):
                raise EventLogError(f"{self._wal}: missing; restore it from a backup") from error
            return Position(0, 0)
        except OSError as error:
            raise EventLogError(f"{self._wal}: cannot be read ({error}); check its permissions") from error
        if not unread.continued:  # another process has moved events into partitions
            self._fresh, self._ids = [], None
        self._advance(unread.position, unread.tables)
        return unread.position

    def _snapshot(self) -> tuple[Position, pa.Table]:
        """A position and what wal.log holds up to it."""
        with self._mutex:
            position = self._catch_up()
            fresh = pa.concat_tables([STORED.empty_table(), *self._fresh], promote_options="default")
            self._fresh = [fresh.combine_chunks()]
            return position, self._fresh[0]

    def _table(self, of: Callable[[duckdb.DuckDBPyConnection], duckdb.DuckDBPyRelation]) -> pa.Table:
        """What a relation holds; asked again where files were superseded and deleted before they were read."""
        while True:
            with self._mutex:
                generation = self._catch_up().generation
            try:
                with event_rows.duckdb_in_utc() as con:
                    return of(con).to_arrow_table()
            except (duckdb.Error, EventLogError):
                with self._mutex:
                    if self._catch_up().generation == generation:
                        raise

    def _advance(self, position: Position, tables: list[pa.Table]) -> None:
        self._position = position
        self._fresh.extend(tables)
        if self._ids is not None:
            for table in tables:
                self._ids.update(table[schema.EVENT_ID].to_pylist())

    def _known_ids(self) -> tuple[Position, set[str]]:
        position = self._catch_up()
        if self._ids is None:
            ids = self._table(lambda con: self.relation(con).select(schema.EVENT_ID))[schema.EVENT_ID]
            self._ids = set(ids.to_pylist())
        return position, self._ids

    def _partitions(
        self, position: Position, *, since: datetime | None = None, until: datetime | None = None
    ) -> list[Path]:
        files = day_partitions.listed(self.folder, below=position.generation, since=since, until=until)
        for file in files:
            if file not in self._verified:
                day_partitions.verify(file)
                self._verified.add(file)
        return files

    def _compact(self) -> None:
        position, fresh = self._snapshot()
        if len(fresh):
            day_partitions.write(self.folder, position.generation, fresh)
            self._position = write_ahead.start(self._wal, position.generation + 1)
            self._fresh = []
