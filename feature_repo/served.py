"""The log of served vectors: what rankers were given, kept so that it can be computed again and compared.

    served/day=2024-02-29/1709210000000000000-4711.parquet   some requests' vectors, written once
    served/day=2024-02-29/counts.json                        what was offered and kept that day, by all processes

A request pays for a random number and a place in a list; files are written by a timer of its own. Whatever goes wrong
there is counted as dropped and logged: it never reaches a request.
"""

import atexit
import fcntl
import json
import logging
import os
import random
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.durable import write_durably
from feature_repo.fingerprint import definitions
from feature_repo.forgotten_rows import drop_rows
from feature_repo.settings import Sampling, Settings
from feature_repo.tombstones import Tombstones

READ_AT: Final = "read_at"  # the machine's clock just before the online store was read
RELEASE: Final = "release"
SERVICE: Final = "service"
DEFINITIONS: Final = "definitions"

OFFERED, KEPT, VECTORS, OVER_CAP, DROPPED = "offered", "kept", "vectors", "over_cap", "dropped"

_COUNTS: Final = "counts.json"
_WAITING: Final = 256  # requests in memory at most: more come only while the disk does not answer
_log = logging.getLogger(__name__)


class ServedLog:
    """Served vectors under one folder, for any number of threads and processes."""

    def __init__(self, folder: Path, sampling: Sampling, *, forgotten: Tombstones | None = None) -> None:
        self.folder = folder
        self._forgotten = forgotten
        self._sampling = sampling
        self._draw = random.Random()
        self._definitions = definitions()
        self._mutex = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[pa.Table] = []
        self._counts: Counter[str] = Counter()
        self._today = ("", 0)  # a day, and the vectors that all processes had kept of it when last seen
        self._timer: threading.Timer | None = None

    @classmethod
    def of(cls, settings: Settings) -> "ServedLog":
        """That of a deployment."""
        return cls(settings.home / "served", settings.served, forgotten=Tombstones(settings.events))

    def offer(self, rows: pa.Table, *, request_id: str, read_at: datetime, release: str, service: str) -> None:
        """Keep a request's vectors, perhaps.

        rows: what `Store.training_frame` takes, then the features of the service, as they were given to the ranker.
        read_at: by the machine's clock, just before the online store was read.
        """
        with self._mutex:
            self._counts[OFFERED] += 1
            if self._draw.random() < self._sampling.share:
                self._keep(self._drawn(rows), (request_id, read_at, release, service))
            if self._timer is None:
                self._start()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._mutex:
                waiting, self._waiting = self._waiting, []
                counts, self._counts = self._counts, Counter()
                self._timer = None
            if not counts or not self.folder.parent.exists():
                return
            now = datetime.now(UTC)
            day = self.folder / f"day={now.date()}"
            try:
                day.mkdir(parents=True, exist_ok=True)
                _write(day, self._living(waiting))
            except (OSError, pa.ArrowException) as error:
                _log.warning("%s: vectors of %d requests are dropped: %s", day, len(waiting), error)
                counts = Counter({OFFERED: counts[OFFERED], DROPPED: counts[DROPPED] + counts[KEPT]})
            try:
                self._today = (day.name, _add_counts(day, counts)[VECTORS])
                self._delete_before(now - timedelta(days=self._sampling.days))
            except OSError as error:
                _log.warning("%s: counts wait for the next file: %s", day, error)
                with self._mutex:
                    self._counts.update(counts)

    def forget(self, users: Sequence[str], *, erase: bool = True) -> int:
        """Erase the vectors of users, or only count them. What running servers hold of them, they drop themselves."""
        if erase:
            for unfinished in self.folder.glob("day=*/*.tmp"):  # of writers that were killed, or just write
                unfinished.unlink(missing_ok=True)
        return sum(drop_rows(path, users, erase=erase) for path in self.folder.glob("day=*/*.parquet"))

    def _living(self, waiting: list[pa.Table]) -> list[pa.Table]:
        """Without vectors of users who were forgotten since."""
        if self._forgotten is None or not len(self._forgotten):
            return waiting
        return [rows.filter(self._forgotten.living(rows[schema.USER_ID], rows[READ_AT])) for rows in waiting]

    def counts(self) -> dict[str, int]:
        """What was offered and kept in the days that are there: requests, but `VECTORS`.

        What a running process has not written yet is not among it.
        """
        total: Counter[str] = Counter()
        for path in self.folder.glob(f"day=*/{_COUNTS}"):
            total.update(json.loads(path.read_text()))
        return {name: total[name] for name in (OFFERED, KEPT, VECTORS, OVER_CAP, DROPPED)}

    def sample(self, requests: int, *, seed: int = 0) -> tuple[pa.Table, int]:
        """Vectors of some requests, drawn at random, and of how many requests the definitions were others.

        Only vectors by the definitions as they are now are drawn: others cannot be computed again.
        """
        files = [str(path) for path in sorted(self.folder.glob("day=*/*.parquet"))]
        if not files:
            return pa.table({}), 0
        with duckdb.connect() as duck:
            duck.execute("set timezone = 'UTC'")
            duck.read_parquet(files, union_by_name=True, hive_partitioning=False).create_view("served")
            now = {"now": self._definitions}
            ids = duck.execute(
                "select request_id from served where definitions = $now group by all order by all", now
            ).fetchall()
            ((outdated,),) = duck.execute(
                "select count(distinct request_id) from served where definitions != $now", now
            ).fetchall()
            drawn = random.Random(seed).sample([one for (one,) in ids], min(requests, len(ids)))
            rows = duck.sql("select * from served where list_contains($drawn, request_id)", params={"drawn": drawn})
            return rows.to_arrow_table(), outdated

    def _drawn(self, rows: pa.Table) -> pa.Table:
        """Some of a request's rows."""
        if len(rows) <= self._sampling.items:
            return rows
        return rows.take(sorted(self._draw.sample(range(len(rows)), self._sampling.items)))

    def _keep(self, rows: pa.Table, told: tuple[str, datetime, str, str]) -> None:
        day, kept = self._today
        kept = kept if day == f"day={datetime.now(UTC).date()}" else 0
        if kept + self._counts[VECTORS] + len(rows) > self._sampling.vectors:
            self._counts[OVER_CAP] += 1
        elif len(self._waiting) >= _WAITING:
            self._counts[DROPPED] += 1
        else:
            self._waiting.append(with_told(rows, *told, self._definitions))
            self._counts[KEPT] += 1
            self._counts[VECTORS] += len(rows)

    def _start(self) -> None:
        atexit.unregister(self.flush)  # once, however often the timer starts
        atexit.register(self.flush)
        self._timer = threading.Timer(self._sampling.flush_s, self.flush)
        self._timer.daemon = True
        self._timer.start()

    def _delete_before(self, moment: datetime) -> None:
        for day in self.folder.glob("day=*"):
            if day.name < f"day={moment.date()}":
                shutil.rmtree(day, ignore_errors=True)


def with_told(rows: pa.Table, request_id: str, read_at: datetime, release: str, service: str, text: str) -> pa.Table:
    """Vectors with what is told of their request."""
    told = {
        schema.REQUEST_ID: pa.scalar(request_id, pa.string()),
        READ_AT: pa.scalar(read_at, schema.TIMESTAMP),
        RELEASE: pa.scalar(release, pa.string()),
        SERVICE: pa.scalar(service, pa.string()),
        DEFINITIONS: pa.scalar(text, pa.string()),
    }
    for name, value in told.items():
        rows = rows.append_column(name, pa.repeat(value, len(rows)))
    return rows.replace_schema_metadata()


def _write(day: Path, waiting: list[pa.Table]) -> None:
    alike: dict[tuple[str, ...], list[pa.Table]] = defaultdict(list)
    for rows in waiting:
        alike[tuple(rows.column_names)].append(rows)
    for tables in alike.values():
        sink = pa.BufferOutputStream()
        pq.write_table(pa.concat_tables(tables), sink, compression="zstd")
        write_durably(day / f"{time.time_ns()}-{os.getpid()}.parquet", sink.getvalue())


def _add_counts(day: Path, counts: Counter[str]) -> Counter[str]:
    """Add to a day's counts, which all processes share; the sums."""
    with (day / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = day / _COUNTS
        total = Counter(json.loads(path.read_text())) if path.exists() else Counter()
        total.update(counts)
        write_durably(path, json.dumps(total).encode())
    return total
