"""Snapshots of views that lie in a stock online store: Feast's Redis, Postgres or SQLite.

Such a store cannot say which rows are newer than a snapshot. So it serves only views without a push source, whose rows
come by materialization, and only as long as their token on the server (`stock_writes`), which is asked at each read,
is the one from before its rows were read. Ids that it does not hold are left to the server.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo import schema
from feature_repo.errors import StoreError
from feature_repo.plan import StoredView
from feature_repo.stores import snapshot_file
from feature_repo.stores.packed_columns import decode
from feature_repo.stores.packed_kernels import ABSENT
from feature_repo.stores.packed_keys import EntityKeys
from feature_repo.stores.packed_layout import Layout
from feature_repo.stores.packed_rows import Moments, Rows, encode
from feature_repo.stores.snapshot_file import SUFFIX, TOKEN_SIZE, Snapshot, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureStore

    # Reads ids of a view: all its columns, and the microseconds of their rows, NEVER where there is none.
    Reader = Callable[[pa.Array], Rows]

_BATCH: Final = 2_000  # ids in one call
_log = logging.getLogger(__name__)


class StockSnapshots:
    """Those of one home, for all threads of a process. None is made of a view that is not asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._opened: dict[bytes, tuple[bytes, Snapshot]] = {}  # by the layout's digest
        self._unusable: set[bytes] = set()
        self._opening = threading.Lock()

    def renew(self, feast: "FeatureStore", view: StoredView, ids: pa.Array, read: "Reader") -> bool:
        """Read rows of ids from the server and keep them; False where that cannot be."""
        from feature_repo.stores import stock_writes  # imports feast

        stock_writes.change(feast._get_provider().online_store, feast.config, view.view)
        token = self._tokens(feast, {view.view.name: view}).get(view.view.name)
        if token is None:
            return False
        rows: list[tuple[bytes, bytes]] = []
        try:
            layout = view.layout(feast.project)
            for start in range(0, len(ids), _BATCH):
                rows += _packed(layout, ids.slice(start, _BATCH), read)
            if not rows:
                return False
            path = self._path(layout, token)
            self._folder.mkdir(parents=True, exist_ok=True)
            snapshot_file.write(path, layout, token, lambda: iter(rows))
        except (OSError, StoreError) as error:  # no room, or a type of which no snapshot can be
            _log.warning("no snapshot of view %s could be written (%s)", view.view.name, error)
            return False
        for former in self._files(view):
            if former != path:
                former.unlink(missing_ok=True)
        return True

    def read(
        self, feast: "FeatureStore", views: Mapping[str, StoredView], ids: Mapping[str, pa.Array]
    ) -> dict[str, tuple[Rows, npt.NDArray[np.bool_]]]:
        """Rows by view of those that have a snapshot which counts, and whether each id is in it."""
        held = {name: view for name, view in views.items() if any(self._files(view))}
        found: dict[str, tuple[Rows, npt.NDArray[np.bool_]]] = {}
        for name, token in self._tokens(feast, held).items():
            layout = held[name].layout(feast.project)
            snapshot = self._current(layout, token)
            if snapshot is None:
                continue
            places = snapshot.find(EntityKeys(layout, ids).texts)
            rows = decode(layout, snapshot.rows.take(places), tuple(held[name].fields))
            found[name] = rows, places != ABSENT
        return found

    def _tokens(self, feast: "FeatureStore", views: Mapping[str, StoredView]) -> dict[str, bytes]:
        from feature_repo.stores import stock_writes  # imports feast

        names = [name for name, view in views.items() if not stock_writes.is_pushed(view.view)]
        if not names:
            return {}
        store = feast._get_provider().online_store
        found = zip(names, stock_writes.tokens(store, feast.config, names), strict=True)
        return {name: blake2b(token.encode(), digest_size=TOKEN_SIZE).digest() for name, token in found if token}

    def _current(self, layout: Layout, token: bytes) -> Snapshot | None:
        opened = self._opened.get(layout.digest)
        if opened and opened[0] == token and opened[1].whole:
            return opened[1]
        path = self._path(layout, token)
        if token in self._unusable or not path.exists() or not self._opening.acquire(blocking=False):
            return None
        try:
            snapshot = snapshot_file.read(path, layout, token)
        except (OSError, SnapshotError) as error:
            self._unusable.add(token)
            _log.warning("snapshot of view %s cannot be read (%s); the server is asked", layout.view, error)
            return None
        finally:
            self._opening.release()
        self._opened[layout.digest] = token, snapshot
        return snapshot

    def _files(self, view: StoredView) -> Iterator[Path]:
        return self._folder.glob(f"{view.view.name}-*{SUFFIX}")

    def _path(self, layout: Layout, token: bytes) -> Path:
        return self._folder / f"{layout.view}-{layout.digest.hex()}-{token.hex()}{SUFFIX}"


def _packed(layout: Layout, ids: pa.Array, read: "Reader") -> Iterator[tuple[bytes, bytes]]:
    """Keys and rows of the ids that are stored."""
    rows = read(ids)
    known = pa.array(rows.known)
    table = pa.table({schema.ITEM_ID: ids, **rows.columns}).filter(known)
    table = table.select(layout.schema.names).cast(layout.schema)
    event_us = rows.event_us[rows.known]
    keys = EntityKeys(layout, {schema.ITEM_ID: table[schema.ITEM_ID].combine_chunks()}).under(b"")
    yield from zip(keys, encode(layout, table, Moments(event_us, event_us)), strict=True)
