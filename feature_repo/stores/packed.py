"""Online store of packed rows: a row of a view is one value in an LMDB file, read and written as Arrow columns.

It serves Feast's own interface of protobuf values too, so that `feast serve`, `feast materialize` and push work on it.
Two ways in which it differs from Feast's other stores: a row that is older than what stands there is not written, and
a view's ttl counts on reading as it does in the offline store.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from feast import Entity, FeatureView, OnDemandFeatureView, RepoConfig
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.supported_async_methods import SupportedAsyncMethods
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel

from feature_repo.epoch import microseconds, moment_of
from feature_repo.stores import snapshot_record
from feature_repo.stores.packed_catalogue import forget, layouts, supersede
from feature_repo.stores.packed_columns import Packed, decode, unpacked
from feature_repo.stores.packed_file import PackedFile, Reading
from feature_repo.stores.packed_keys import EntityKeys, SomeIds, SomeKeys
from feature_repo.stores.packed_layout import NEVER, Layout, layout_of
from feature_repo.stores.packed_protos import key_columns, table_of, values_of
from feature_repo.stores.packed_rows import Rows
from feature_repo.stores.packed_writes import Ready
from feature_repo.stores.snapshots import take_snapshot

Progress: TypeAlias = Callable[[int], object]
Written: TypeAlias = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
Read: TypeAlias = tuple[datetime | None, dict[str, Value] | None]

_BATCH: Final = 20_000  # rows in one transaction
_now: ContextVar[datetime | None] = ContextVar("now", default=None)


@dataclass(frozen=True)
class Part:
    """What is wanted of a view: some of its columns, null where a row is of before `fresh_from`."""

    layout: Layout
    names: tuple[str, ...]
    fresh_from: datetime | None = None


class PackedOnlineStoreConfig(FeastConfigBaseModel):
    """path: folder of the file, from the repository's if relative. map_size_mib: the most that it can grow to.

    snapshots_of: entity keys whose views are read from a snapshot in memory, made after each materialization.
    """

    type: Literal["feature_repo.stores.packed.PackedOnlineStore"] = "feature_repo.stores.packed.PackedOnlineStore"
    path: str = "data/online"
    map_size_mib: int = 65536
    snapshots_of: tuple[str, ...] = ()


@contextlib.contextmanager
def as_of(moment: datetime) -> Iterator[None]:
    """Count the age of rows that Feast reads meanwhile from a moment other than the wall clock's."""
    token = _now.set(moment)
    try:
        yield
    finally:
        _now.reset(token)


class PackedOnlineStore(OnlineStore):
    """Packed rows in LMDB. Any number of processes may read while one writes; further writers wait for it."""

    @property
    def async_supported(self) -> SupportedAsyncMethods:
        """Both, on a thread."""
        return SupportedAsyncMethods(read=True, write=True)

    def read_arrow(
        self,
        config: RepoConfig,
        view: FeatureView,
        ids: Mapping[str, pa.Array],
        names: Iterable[str],
        *,
        fresh_from: datetime | None = None,
    ) -> Rows:
        """Features of a view for entities, null where nothing is stored or it was so before `fresh_from`.

        ids: equally many by entity key.

        Raises:
            StoreError: an id is null.
            StoreUnavailableError: the file cannot be read.
        """
        part = Part(layout_of(config.project, view), tuple(names), fresh_from)
        [rows] = self.read_parts(config, [part], ids)
        return rows

    def read_parts(
        self, config: RepoConfig, parts: Sequence[Part], ids: Mapping[str, pa.Array], *, known: SomeIds | None = None
    ) -> list[Rows]:
        """Features of several views of the same entity keys, all as of one moment; see `read_arrow`.

        known: the same ids, where they are some of those that are asked for time and again.

        Raises:
            StoreError: an id is null.
            StoreUnavailableError: the file cannot be read.
        """
        of_keys = {part.layout.keys: part.layout for part in parts}  # the views of one entity share them
        keys = {
            names: EntityKeys(layout, ids) if known is None else known.keys(layout) for names, layout in of_keys.items()
        }
        with _file(config).reading() as reading:
            found = [_packed(reading, part.layout, keys[part.layout.keys]) for part in parts]
        return [
            decode(part.layout, packed, part.names, None if part.fresh_from is None else microseconds(part.fresh_from))
            for part, packed in zip(parts, found, strict=True)
        ]

    def write_arrow(
        self, config: RepoConfig, view: FeatureView, rows: pa.Table, progress: Progress | None = None
    ) -> None:
        """Write rows, some thousand at a time; a batch is whole or not there at all.

        rows: the view's entity keys and features, event_timestamp and, if known, created_timestamp. Of several rows of
        one entity the latest stays, be it one that is stored already: by event_timestamp, then by created_timestamp,
        then the one written last.

        Raises:
            StoreError: an id or event_timestamp is null, or a value does not fit its field.
            StoreUnavailableError: the file cannot be written.
        """
        for start in range(0, len(rows), _BATCH):
            batch = rows.slice(start, _BATCH)
            self.write_views(config, [(view, batch)])
            if progress:
                progress(len(batch))

    def write_views(self, config: RepoConfig, rows: Sequence[tuple[FeatureView, pa.Table]]) -> None:
        """Write rows of several views in one transaction: all are seen at once; see `write_arrow`.

        rows: each view once, with as many of its rows as are well held in memory.
        """
        ready = [Ready.of(layout_of(config.project, view), some) for view, some in rows if len(some)]
        if ready:
            with _file(config).writing() as transaction:
                for one in ready:
                    one.write(transaction)

    def delete_rows(self, config: RepoConfig, view: FeatureView, ids: Mapping[str, pa.Array]) -> None:
        """Forget entities, by equally many ids by entity key; those that are not stored are passed over.

        Rows of the view's former layouts go too, as long as its entity keys are the same.

        Raises:
            StoreError: an id is null.
            StoreUnavailableError: the file cannot be written.
        """
        layout = layout_of(config.project, view)
        entities = EntityKeys(layout, ids)
        with _file(config).writing() as transaction:
            for digest in {layout.digest, *layouts(transaction, config.project, view.name)}:
                for key in entities.under(digest):
                    transaction.delete(key)
                snapshot_record.note(transaction, digest, entities.texts)

    def count_rows(self, config: RepoConfig, view: FeatureView, ids: Mapping[str, pa.Array]) -> int:
        """How many entities `delete_rows` would find; none where there is no file yet.

        Raises:
            StoreError: an id is null.
            StoreUnavailableError: the file cannot be read.
        """
        if not _file(config).made:
            return 0
        layout = layout_of(config.project, view)
        entities = EntityKeys(layout, ids)
        found = np.zeros(len(entities), bool)
        with _file(config).reading() as reading:
            for digest in {layout.digest, *layouts(reading.transaction, config.project, view.name)}:
                found |= [reading.transaction.get(key) is not None for key in entities.under(digest)]
        return int(found.sum())

    def rewrite(self, config: RepoConfig) -> None:
        """Leave no trace of deleted rows in the file; views of items have no snapshot then.

        Raises:
            StoreUnavailableError: the file cannot be written.
        """
        _file(config).rewrite()

    def snapshot(self, config: RepoConfig, view: FeatureView) -> bool:
        """Write a snapshot of a view's rows, from which they are read until too many are newer; False if none is.

        Only of the views that `snapshots_of` names.

        Raises:
            StoreUnavailableError: the file cannot be read or written.
        """
        if view.join_keys not in [[key] for key in config.online_store.snapshots_of]:
            return False
        return take_snapshot(_file(config), layout_of(config.project, view))

    def online_read(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """Feast's read: of an entity that is not stored (None, None), of one that has expired its moment alone."""
        layout = layout_of(config.project, table)
        names = [name for name in requested_features or layout.places if name in layout.places]
        fresh_from = (_now.get() or datetime.now(UTC)) - table.ttl if table.ttl else None
        rows = self.read_arrow(config, table, key_columns(layout, entity_keys), names, fresh_from=fresh_from)
        fresh_us = NEVER if fresh_from is None else microseconds(fresh_from)
        values = values_of(layout, rows, names)
        return [
            (None, None) if event == NEVER else (moment_of(event), row if event >= fresh_us else {})
            for event, row in zip(rows.event_us.tolist(), values, strict=True)
        ]

    async def online_read_async(
        self,
        config: RepoConfig,
        table: FeatureView,
        entity_keys: list[EntityKey],
        requested_features: list[str] | None = None,
    ) -> list[Read]:
        """`online_read` on a thread."""
        return await asyncio.to_thread(self.online_read, config, table, entity_keys, requested_features)

    def online_write_batch(
        self, config: RepoConfig, table: FeatureView, data: list[Written], progress: Progress | None
    ) -> None:
        """Feast's write; see `write_arrow`."""
        self.write_arrow(config, table, table_of(layout_of(config.project, table), data), progress)

    async def online_write_batch_async(
        self, config: RepoConfig, table: FeatureView, data: list[Written], progress: Progress | None
    ) -> None:
        """`online_write_batch` on a thread."""
        await asyncio.to_thread(self.online_write_batch, config, table, data, progress)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],
        entities_to_keep: Sequence[Entity],
        partial: bool,
    ) -> None:
        """Make the file if there is none and forget deleted views.

        Rows of a changed view's former layout stay for those who still read by it, until the present one has rows.
        """
        file = _file(config)
        file.create()
        with file.writing() as transaction:
            for view in _stored(tables_to_keep):
                supersede(transaction, layout_of(config.project, view))
            for view in _stored(tables_to_delete):
                forget(transaction, config.project, view.name)

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:
        """Remove the file."""
        _file(config).delete()


def _file(config: RepoConfig) -> PackedFile:
    settings = config.online_store
    return _packed_file(str(config.repo_path or ""), settings.path, settings.map_size_mib)


@lru_cache(maxsize=1024)
def _packed_file(repository: str, path: str, map_size_mib: int) -> PackedFile:
    return PackedFile(Path(repository) / path, map_size_mib << 20)


def _packed(reading: Reading, layout: Layout, keys: EntityKeys | SomeKeys) -> Packed:
    """Rows of entities, from the view's snapshot where it has one."""
    found = reading.snapshots.read(reading.transaction, layout, keys)
    if found is not None:
        return found
    get, nothing = reading.transaction.get, layout.nothing
    return unpacked(layout, [get(key, nothing) for key in keys.under(layout.digest)])


def _stored(views: Sequence[FeatureView]) -> list[FeatureView]:
    return [view for view in views if not isinstance(view, OnDemandFeatureView) or view.write_to_online_store]
