"""Snapshots of views beside their LMDB file, which says in each transaction which one counts and what is newer.

A reader takes rows from the mapped snapshot, but for those whose keys were written since: so it sees what the
transaction sees, whoever wrote. Where a snapshot cannot be read, the file is.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

from feature_repo.stores import prefixes, snapshot_file, snapshot_record
from feature_repo.stores.changes import NO_CHANGES, Changes, NewerRows
from feature_repo.stores.packed_columns import Packed, unpacked
from feature_repo.stores.packed_kernels import Places
from feature_repo.stores.packed_keys import EntityKeys, SomeKeys
from feature_repo.stores.packed_layout import DIGEST_SIZE, Layout
from feature_repo.stores.snapshot_file import SUFFIX, TOKEN_SIZE, Snapshot, SnapshotError

if TYPE_CHECKING:
    import lmdb

    from feature_repo.stores.packed_file import PackedFile

SNAPSHOTS: Final = "snapshots"  # in that of the LMDB file
_ABANDONED_S: Final = 3600  # since a file was written to that was never finished
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Opened:
    """A snapshot, and what was written since.

    seen: up to which transaction. changes: of the keys. newer: rows of such keys that were read, see `NewerRows`.
    found: places of keys of which some are asked for time and again.
    """

    token: bytes
    snapshot: Snapshot
    seen: int
    changes: Changes
    newer: NewerRows
    found: WeakKeyDictionary[EntityKeys, Places]

    def find(self, keys: EntityKeys | SomeKeys) -> Places:
        """Places of keys in the snapshot."""
        if isinstance(keys, EntityKeys):
            return self.snapshot.find(keys.texts)
        found = self.found.get(keys.whole)
        if found is None:
            keys.whole.texts.hashes  # noqa: B018 - of all, before some are taken
            self.found[keys.whole] = found = self.snapshot.find(keys.whole.texts)
        return found.take(keys.places)


class Snapshots:
    """Those that a process has mapped of one opened LMDB file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / SNAPSHOTS
        self._opened: dict[bytes, _Opened] = {}  # by digest
        self._unusable: dict[bytes, bytes] = {}  # digest -> token
        self._opening = threading.Lock()

    def read(
        self, transaction: "lmdb.Transaction[bytes]", layout: Layout, keys: EntityKeys | SomeKeys
    ) -> Packed | None:
        """Rows of entities as they stand in a transaction; None where the LMDB file has to be read."""
        opened = self._current(transaction, layout)
        if opened is None:
            return None
        rows, places = opened.snapshot.rows, opened.find(keys)
        changed, written = opened.changes.among(keys.texts.hashes)
        if not len(changed):
            return rows.take(places)
        newer = opened.newer.read(transaction, layout, keys, changed, places[changed], written)
        places[changed] = len(rows.heads) + np.arange(len(changed))
        return rows.take(places, unpacked(layout, newer))

    def _current(self, transaction: "lmdb.Transaction[bytes]", layout: Layout) -> _Opened | None:
        """The snapshot that counts in a transaction, with all that was written since."""
        token = snapshot_record.active(transaction, layout.digest)
        if token is None:
            self._opened.pop(layout.digest, None)  # it has ended: nothing of it is held
        if token is None or self._unusable.get(layout.digest) == token:
            return None
        opened = self._opened.get(layout.digest)
        if opened is None or opened.token != token:
            opened = self._open(layout, token)
        if opened is None:
            return None
        if not opened.snapshot.whole:
            self._give_up(layout, token, "it was cut off")
            return None
        if transaction.id() > opened.seen:
            changes = opened.changes.then(snapshot_record.written(transaction, layout.digest, opened.seen))
            opened = replace(opened, seen=transaction.id(), changes=changes)
            self._opened[layout.digest] = opened  # of several threads any may be last: it says up to where it has seen
        return opened

    def _open(self, layout: Layout, token: bytes) -> _Opened | None:
        """Map a snapshot; None while another thread does, which takes as long as reading the file once."""
        if not self._opening.acquire(blocking=False):
            return None
        try:
            snapshot = snapshot_file.read(_path(self._folder, layout.digest, token), layout, token)
        except (OSError, SnapshotError) as error:
            self._give_up(layout, token, str(error))
            return None
        finally:
            self._opening.release()
        self._opened[layout.digest] = opened = _Opened(token, snapshot, 0, NO_CHANGES, NewerRows(), WeakKeyDictionary())
        return opened

    def _give_up(self, layout: Layout, token: bytes, reason: str) -> None:
        self._opened.pop(layout.digest, None)
        self._unusable[layout.digest] = token
        _log.warning("snapshot of view %s cannot be read (%s); its rows are read one by one", layout.view, reason)


def take_snapshot(file: "PackedFile", layout: Layout) -> bool:
    """Write a snapshot of a view's rows as they are now, and let it count; False where it does not come to that.

    Writers go on meanwhile. Former snapshots are removed; who has them open keeps them.

    Raises:
        StoreUnavailableError: the LMDB file cannot be read or written.
    """
    token, digest = os.urandom(TOKEN_SIZE), layout.digest
    path = _path(file.folder / SNAPSHOTS, digest, token)
    with file.writing() as transaction:
        snapshot_record.prepare(transaction, digest, token)
    with file.reading() as reading:
        read_at = reading.transaction.id()

        def scan() -> Iterator[tuple[bytes, bytes]]:
            for key, row in prefixes.entries(reading.transaction, digest):
                yield key[DIGEST_SIZE:], row

        try:
            path.parent.mkdir(exist_ok=True)
            rows = snapshot_file.write(path, layout, token, scan)
        except OSError as error:
            _log.warning("no snapshot of view %s could be written (%s)", layout.view, error)
            return False
    if not rows:
        path.unlink()
        return False
    with file.writing() as transaction:
        counts = snapshot_record.commit(transaction, digest, token, read_at=read_at, rows=rows)
        in_use = snapshot_record.tokens(transaction)
    _remove_former(path.parent, in_use)
    return counts


def _path(folder: Path, digest: bytes, token: bytes) -> Path:
    return folder / f"{digest.hex()}-{token.hex()}{SUFFIX}"


def _remove_former(folder: Path, in_use: set[bytes]) -> None:
    """Delete the files of snapshots that do not count, and what killed processes have left."""
    names = {token.hex() for token in in_use}
    for path in folder.iterdir():
        token = path.name.partition(".")[0].partition("-")[2]
        finished = path.suffix == SUFFIX
        if token not in names and (finished or time.time() - path.stat().st_mtime > _ABANDONED_S):
            path.unlink(missing_ok=True)
