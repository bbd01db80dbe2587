"""Events as Parquet files, one folder a day (UTC), each file written once with its CRC-32 in its name.

`day=2024-02-29/00000007-1f3c9a52.parquet` was written by move 7. A move counts once the log says so: until then its
files are leftovers that `listed` leaves out and the next attempt deletes.

`day=2024-02-29/00000009-5d01c3b7-whole.parquet` holds the whole day as it is since move 9, in which users were
forgotten: the day's files of earlier moves do not count any more, and are deleted.
"""

import zlib
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.durable import sync_folder, write_durably
from feature_repo.errors import EventLogError

_WHOLE: Final = "-whole"
_DAY_US: Final = 86_400_000_000
_ORDER: Final = [(schema.OCCURRED_AT, "ascending"), (schema.EVENT_ID, "ascending")]
_AT_ONCE: Final = 16  # fsyncs that wait together are committed together: 4,000 files took 0.6 s instead of 2 s


def write(folder: Path, generation: int, events: pa.Table) -> None:
    """Write move `generation`, each day in order of (occurred_at, event_id); on disk when this returns."""
    _remove_leftovers(folder, generation)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(lambda part: _write_day(folder / f"day={part[0]}", generation, part[1]), _by_day(events)))
    sync_folder(folder)


def write_without(folder: Path, generation: int, files: Sequence[Path], users: Collection[str]) -> int:
    """Write move `generation`, in which the days that name users are whole, without these; how many events they lose.

    files: all that count, in the order of `listed`.
    """
    _remove_leftovers(folder, generation)
    names, erased = pa.array(users, pa.string()), 0
    for day, of_day in groupby(files, key=lambda file: file.parent):
        parts = [pq.read_table(file) for file in of_day]
        found = [pc.is_in(part[schema.USER_ID], names) for part in parts]
        here = sum(pc.sum(one).as_py() or 0 for one in found)
        if here:
            kept = [part.filter(pc.invert(one)) for part, one in zip(parts, found, strict=True)]
            whole = pa.concat_tables(kept, promote_options="default")
            _write_day(day, generation, whole.sort_by(_ORDER), suffix=_WHOLE)
            erased += here
    return erased


def remove_unfinished(folder: Path) -> None:
    """Delete what killed writers have left half written."""
    for unfinished in folder.rglob("*.tmp"):
        unfinished.unlink()


def remove_superseded(folder: Path, *, below: int) -> None:
    """Delete what does not count any more since a day was written whole."""
    for day in folder.glob("day=*"):
        files = _of_day(day, below)
        for file in files[: _first_that_counts(files)]:
            file.unlink()
        sync_folder(day)


def last_whole(folder: Path, *, below: int) -> int:
    """The last move in which users were forgotten, -1 where there was none."""
    moves = [int(file.name.partition("-")[0]) for file in folder.glob(f"day=*/*{_WHOLE}.parquet")]
    return max((move for move in moves if move < below), default=-1)


def exist(folder: Path) -> bool:
    """Whether there is any partition."""
    return next(folder.glob("day=*"), None) is not None


def listed(folder: Path, *, below: int, since: datetime | None = None, until: datetime | None = None) -> list[Path]:
    """Files of the moves below a generation whose day meets [since, until], in order of day."""
    first = f"day={since.astimezone(UTC).date()}" if since is not None else ""
    last = f"day={until.astimezone(UTC).date()}" if until is not None else "~"  # sorts behind every day
    days = sorted(day for day in folder.glob("day=*") if first <= day.name <= last)
    found = [_of_day(day, below) for day in days]
    return [file for files in found for file in files[_first_that_counts(files) :]]


def midnight(file: Path) -> datetime:
    """When a file's day began."""
    return datetime.fromisoformat(file.parent.name.removeprefix("day=")).replace(tzinfo=UTC)


def verify(file: Path) -> None:
    """Raise `EventLogError` unless the file is what was written."""
    try:
        checksum = f"{zlib.crc32(file.read_bytes()):08x}"
    except OSError as error:
        raise EventLogError(f"{file}: cannot be read ({error}); check its permissions") from error
    if checksum != file.stem.split("-")[1]:
        raise EventLogError(
            f"{file}: its checksum is {checksum}, not the one in its name; restore it from a backup, or delete it and "
            "append that day's events again (known ids are skipped)"
        )


def _of_day(day: Path, below: int) -> list[Path]:
    return [file for file in sorted(day.glob("*.parquet")) if file.name < f"{below:08d}"]


def _first_that_counts(files: list[Path]) -> int:
    """Place of the last file that holds its whole day, 0 where there is none."""
    return max((place for place, file in enumerate(files) if file.stem.endswith(_WHOLE)), default=0)


def _remove_leftovers(folder: Path, generation: int) -> None:
    for leftover in folder.glob(f"day=*/{generation:08d}-*"):
        leftover.unlink()


def _by_day(events: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    events = events.sort_by(_ORDER)
    days = events[schema.OCCURRED_AT].cast(pa.int64()).to_numpy() // _DAY_US
    distinct, starts = np.unique(days, return_index=True)
    for day, start, stop in zip(distinct, starts, [*starts[1:], len(days)], strict=True):
        yield np.datetime64(int(day), "D").astype(date), events.slice(start, stop - start)


def _write_day(folder: Path, generation: int, events: pa.Table, *, suffix: str = "") -> None:
    sink = pa.BufferOutputStream()  # no dictionaries and statistics: they double the cost of a file of 25 rows
    pq.write_table(events, sink, compression="zstd", use_dictionary=False, write_statistics=False, store_schema=False)
    content = sink.getvalue()
    folder.mkdir(exist_ok=True)
    write_durably(folder / f"{generation:08d}-{zlib.crc32(content):08x}{suffix}.parquet", content)
