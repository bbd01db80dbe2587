"""The LMDB file of the packed online store: one environment a process, its transactions, and what can go wrong.

LMDB is a B+tree in a memory-mapped file. Readers see the last committed state without waiting, in any number of
processes; one writer at a time goes to fresh pages and switches the root last, so a killed writer leaves what was.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import lmdb
from lmdb.verify import VerifyError, verify

from feature_repo.errors import StoreUnavailableError

_READERS: Final = 1024  # at one time, in all processes
_DATA: Final = "data.mdb"


@dataclass
class _Opened:
    """An environment of this process, and the file that it maps."""

    environment: lmdb.Environment
    process: int
    file: tuple[int, int]
    size: int


_opened: Final[dict[Path, _Opened]] = {}  # LMDB allows a file to be opened once in a process
_opening: Final = threading.Lock()


class PackedFile:
    """A store's folder. map_size: bytes of address space, the most that the file can grow to."""

    def __init__(self, folder: Path, map_size: int) -> None:
        self.folder = folder
        self._map_size = map_size

    def create(self) -> None:
        """Make an empty file where there is none.

        Raises:
            StoreUnavailableError: the folder cannot be written.
        """
        with self._answering():
            self.folder.mkdir(parents=True, exist_ok=True)
            if not (self.folder / _DATA).exists():
                _opened[self.folder] = self._open()

    @contextlib.contextmanager
    def reading(self) -> Iterator["lmdb.Transaction[bytes]"]:
        """The last committed state, as long as the context lasts.

        Raises:
            StoreUnavailableError: there is no such file, or it is damaged.
        """
        with self._answering(), self._environment().begin() as transaction:
            yield transaction

    @contextlib.contextmanager
    def writing(self) -> Iterator["lmdb.Transaction[bytes]"]:
        """A transaction that is on disk when the context ends, and undone if it ends in an error.

        Raises:
            StoreUnavailableError: the file cannot be written, or is damaged.
        """
        with self._answering():
            environment = self._environment()
            environment.reader_check()  # pages that a killed reader held become free
            with environment.begin(write=True) as transaction:
                yield transaction

    def delete(self) -> None:
        """Remove the file; other processes find the store gone at their next read."""
        with _opening:
            opened = _opened.pop(self.folder, None)
            if opened:
                opened.environment.close()
        for name in (_DATA, "lock.mdb"):
            (self.folder / name).unlink(missing_ok=True)

    def _environment(self) -> lmdb.Environment:
        """This process's environment of the file that lies there now, be it another one than before."""
        state = os.stat(self.folder / _DATA)  # noqa: PTH116 - a path's own takes twice as long, at every read
        opened = _opened.get(self.folder)
        if opened and opened.process == os.getpid() and opened.file == (state.st_dev, state.st_ino):
            if state.st_size < opened.size:
                raise lmdb.CorruptedError(f"the file was cut to {state.st_size} bytes")
            opened.size = state.st_size
            return opened.environment
        with _opening:
            if opened and opened is _opened.pop(self.folder, None) and opened.process != os.getpid():
                opened.environment.close()  # the parent's: useless in a fork, and in the way
            opened = _opened.get(self.folder) or self._open()
            _opened[self.folder] = opened
            return opened.environment

    def _open(self) -> _Opened:
        environment = lmdb.open(
            str(self.folder),
            map_size=self._map_size,
            metasync=False,  # a crash of the machine may undo the last commit, never damage the file
            max_readers=_READERS,
            max_spare_txns=os.cpu_count() or 1,
        )
        file = self.folder / _DATA
        state = file.stat()
        # To read a page behind the end of a file kills the process. Pages that are free may well lie there.
        end = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if state.st_size < end and verify(str(file)):  # type: ignore[no-untyped-call]
            raise lmdb.CorruptedError(f"the file has {state.st_size} of {end} bytes")
        return _Opened(environment, os.getpid(), (state.st_dev, state.st_ino), state.st_size)

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
