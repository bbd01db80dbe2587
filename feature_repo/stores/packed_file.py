"""The LMDB file of the packed online store: one environment a process, its transactions, and what can go wrong.

LMDB is a B+tree in a memory-mapped file. Readers see the last committed state without waiting, in any number of
processes; one writer at a time goes to fresh pages and switches the root last, so a killed writer leaves what was.
"""

import contextlib
import mmap
import os
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb
from lmdb.verify import VerifyError, verify

from feature_repo.durable import sync_folder
from feature_repo.errors import StoreUnavailableError
from feature_repo.stores import prefixes, snapshot_record
from feature_repo.stores.snapshots import SNAPSHOTS, Snapshots

_READERS: Final = 1024  # at one time, in all processes
_DATA: Final = "data.mdb"
_LOCK: Final = "lock.mdb"
_FRESH: Final = ".rewritten"
_PAGE: Final = mmap.PAGESIZE  # LMDB's too, where it makes a file


@dataclass(frozen=True)
class Reading:
    """A reading transaction, and the snapshots of the file that it reads."""

    transaction: "lmdb.Transaction[bytes]"
    snapshots: Snapshots


@dataclass
class _Opened:
    """An environment of this process, the file that it maps, and up to where that was found to be whole."""

    environment: lmdb.Environment
    process: int
    file: tuple[int, int]
    snapshots: Snapshots
    whole: int = 0

    def check(self, path: Path) -> None:
        """See whether a file that ends before its last page lacks a page in use: reading that kills the process.

        Raises:
            CorruptedError: it does.
        """
        end = _end(self.environment)
        if self.whole != end and verify(str(path)):  # type: ignore[no-untyped-call]
            raise lmdb.CorruptedError(f"the file has {path.stat().st_size} of {end} bytes")
        self.whole = end


def _end(environment: lmdb.Environment) -> int:
    """Where the last page ends; pages that are free may well lie behind the end of the file."""
    return (environment.info()["last_pgno"] + 1) * _PAGE


_opened: Final[dict[Path, _Opened]] = {}  # LMDB allows a file to be opened once in a process
_opening: Final = threading.Lock()


class PackedFile:
    """A store's folder. map_size: bytes of address space, the most that the file can grow to."""

    def __init__(self, folder: Path, map_size: int) -> None:
        self.folder = folder
        self._file = str(folder / _DATA)
        self._map_size = map_size

    @property
    def made(self) -> bool:
        """Whether there is a file."""
        return (self.folder / _DATA).exists()

    def create(self) -> None:
        """Make an empty file where there is none.

        Raises:
            StoreUnavailableError: the folder cannot be written.
        """
        with self._answering():
            self.folder.mkdir(parents=True, exist_ok=True)
            file = self.folder / _DATA
            if not file.exists() or not file.stat().st_size:
                with _opening:
                    _opened[self.folder] = self._open()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reading]:
        """The last committed state, as long as the context lasts.

        Raises:
            StoreUnavailableError: there is no such file, or it is damaged.
        """
        with self._answering():
            opened = self._current()
            with opened.environment.begin() as transaction:
                yield Reading(transaction, opened.snapshots)

    @contextlib.contextmanager
    def writing(self) -> Iterator["lmdb.Transaction[bytes]"]:
        """A transaction that is on disk when the context ends, and undone if it ends in an error.

        Raises:
            StoreUnavailableError: the file cannot be written, or is damaged.
        """
        with self._answering(), self._locked() as (_, transaction):
            yield transaction

    def rewrite(self) -> None:
        """Put a copy in the place of the file, entry by entry: pages keep the bytes of rows that were deleted.

        Readers go on with what they opened, writers wait. Snapshots count no more.

        Raises:
            StoreUnavailableError: the copy cannot be written.
        """
        fresh = self.folder / _FRESH
        with self._answering(), self._locked() as (environment, transaction):
            shutil.rmtree(fresh, ignore_errors=True)
            with lmdb.open(str(fresh), map_size=environment.info()["map_size"]) as copy, copy.begin(write=True) as into:
                for key, row in prefixes.entries(transaction, b""):
                    if not snapshot_record.holds(key):
                        into.put(key, row, append=True)
            for name in (_LOCK, _DATA):  # whoever opens the new file must not meet the old one's readers
                (fresh / name).replace(self.folder / name)
            sync_folder(self.folder)
            shutil.rmtree(fresh)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[tuple[lmdb.Environment, "lmdb.Transaction[bytes]"]]:
        """The file's only writer, be it rewritten while that was waited for."""
        while True:
            opened = self._current()
            opened.environment.reader_check()  # pages that a killed reader held become free
            with opened.environment.begin(write=True) as transaction:
                if self._current() is opened:
                    yield opened.environment, transaction
                    return

    def delete(self) -> None:
        """Remove the file; other processes find the store gone at their next read."""
        with _opening:
            opened = _opened.pop(self.folder, None)
            if opened:
                opened.environment.close()
        for name in (_DATA, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / SNAPSHOTS, ignore_errors=True)

    def _current(self) -> _Opened:
        """This process's environment of the file that lies there now, be it another one than before."""
        opened = _opened.get(self.folder)
        end = _end(opened.environment) if opened and opened.process == os.getpid() else 0
        state = os.stat(self._file)  # noqa: PTH116 - a path's own takes twice as long, at every read
        if not state.st_size:
            raise lmdb.CorruptedError("the file is empty")  # LMDB would begin a new one
        if not opened or not end or opened.file != (state.st_dev, state.st_ino):
            opened = self._reopen(opened)
        elif state.st_size < end:
            opened.check(self.folder / _DATA)
        return opened

    def _reopen(self, former: _Opened | None) -> _Opened:
        with _opening:
            if former and former is _opened.get(self.folder):
                del _opened[self.folder]
                if former.process != os.getpid():
                    former.environment.close()  # the parent's: useless in a fork, and in the way
            if self.folder not in _opened:
                _opened[self.folder] = self._open()
            return _opened[self.folder]

    def _open(self) -> _Opened:
        environment = lmdb.open(
            str(self.folder),
            map_size=self._map_size,
            metasync=False,  # a crash of the machine may undo the last commit, never damage the file
            max_readers=_READERS,
            max_spare_txns=0,  # a fork that closes what it inherits would give the parent's spare ones away
        )
        file = self.folder / _DATA
        state = file.stat()
        opened = _Opened(environment, os.getpid(), (state.st_dev, state.st_ino), Snapshots(self.folder))
        if state.st_size < _end(environment):
            opened.check(file)
        return opened

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except lmdb.MapFullError as error:
            raise StoreUnavailableError(
                f"{self.folder}: the online store is full ({self._map_size >> 20} MiB); raise map_size_mib of "
                "online_store in feature_store.yaml"
            ) from error
        except (lmdb.Error, VerifyError, OSError) as error:
            raise StoreUnavailableError(
                f"{self.folder}: the online store does not answer ({type(error).__name__}: {error}); see that its disk "
                "has room and that it was not moved. `trichord run` makes it; delete the folder first if it is damaged"
            ) from error
