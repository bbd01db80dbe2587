"""Compute engine that materializes into the packed online store as Arrow, without protobuf.

DuckDB picks the latest row of every entity in the window and streams them, batch by batch, into the store, where a row
that is later stays. A run that is killed leaves whole batches, which the next one writes again; Feast notes a window
as materialized only when it is done.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Final, Literal, cast

import duckdb
import pyarrow as pa
from feast import FeatureView, FileSource
from feast.feature_view import DUMMY_ENTITY_NAME
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel

from feature_repo.errors import StoreError
from feature_repo.schema import CREATED_TIMESTAMP, EVENT_TIMESTAMP
from feature_repo.stores.local_parquet import files_of, local_parquet
from feature_repo.stores.naming import quoted
from feature_repo.stores.packed import PackedOnlineStore
from feature_repo.stores.stock_writes import noted

_BATCH: Final = 20_000  # rows


class ArrowComputeEngineConfig(FeastConfigBaseModel):
    """memory_limit: DuckDB's; what does not fit is spilled to a temporary folder."""

    type: Literal["feature_repo.stores.arrow_engine.ArrowComputeEngine"] = (
        "feature_repo.stores.arrow_engine.ArrowComputeEngine"
    )
    memory_limit: str = "512MB"


class ArrowComputeEngine(LocalComputeEngine):
    """Materializes plain views over local Parquet; all other work is Feast's local engine's."""

    def __init__(self, memory_limit: str = "512MB", backend: str | None = None, **stock: object) -> None:
        super().__init__(backend, **stock)
        self._memory_limit = memory_limit

    def _materialize_one(
        self, registry: BaseRegistry, task: MaterializationTask, **further: object
    ) -> LocalMaterializationJob:
        view, store = task.feature_view, self.online_store
        if not isinstance(store, PackedOnlineStore):
            with noted(store, self.repo_config, view):
                return super()._materialize_one(registry, task, **further)
        path = local_parquet(view.batch_source, str(self.repo_config.repo_path or ""))
        if path is None or not _is_plain(view):
            return super()._materialize_one(registry, task, **further)
        with _duckdb(self._memory_limit) as duck:
            try:
                window = {"path": files_of(path), "start": task.start_time, "end": task.end_time}
                duck.execute(f"create temp table latest as {_latest(view)}", window)
                ((entities,),) = duck.execute("select count(*) from latest").fetchall()
                rows = duck.sql(_rows(view), params={"path": files_of(path)}).to_arrow_reader(_BATCH)
                with task.tqdm_builder(entities) if task.tqdm_builder else contextlib.nullcontext() as bar:
                    for batch in rows:
                        written = pa.Table.from_batches([batch])
                        store.write_arrow(self.repo_config, view, written, bar.update if bar else None)
            except duckdb.Error as error:
                raise StoreError(
                    f"{path}: rows of feature view {view.name} cannot be read ({error}); see that the file is whole "
                    "and has the view's columns, or delete it: `trichord run` writes it again"
                ) from error
        store.snapshot(self.repo_config, view)
        name = f"{view.name}-{task.start_time}-{task.end_time}"
        return LocalMaterializationJob(job_id=name, status=MaterializationJobStatus.SUCCEEDED)


@contextlib.contextmanager
def _duckdb(memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with tempfile.TemporaryDirectory() as spill, duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
        duck.execute("set temp_directory = ?", [spill])
        duck.execute("set memory_limit = ?", [memory_limit])
        yield duck


def _is_plain(view: FeatureView) -> bool:
    """Whether a view's rows go online just as they lie there, and nowhere else."""
    return (
        type(view) is FeatureView
        and view.entities != [DUMMY_ENTITY_NAME]
        and view.online
        and not view.offline
        and not view.enable_validation
    )


def _source(view: FeatureView) -> FileSource:
    return cast(FileSource, view.batch_source)  # of every view that is read here


def _latest(view: FeatureView) -> str:
    """Every entity of the window, and the moments of its latest row."""
    keys = ", ".join(f"{_column(view, key)} as {quoted(key)}" for key in view.join_keys)
    event, created = _moments(view)
    return f"""
        select {keys}, max(({event}, {created})) as moments
        from read_parquet($path)
        where {event} between $start and $end
        group by all"""


def _rows(view: FeatureView) -> str:
    """The rows of those moments, with names as in the view; by key, so that a batch touches few pages of the store."""
    columns = [*view.join_keys, *(field.name for field in view.features)]
    named = ", ".join(f"{_column(view, name)} as {quoted(name)}" for name in columns)
    event, created = _moments(view)
    same = " and ".join(f"latest.{quoted(key)} = rows.{_column(view, key)}" for key in view.join_keys)
    return f"""
        select {named}, {event} as {EVENT_TIMESTAMP}, nullif({created}, '-infinity') as {CREATED_TIMESTAMP}
        from read_parquet($path) as rows
        semi join latest on {same} and latest.moments = ({event}, {created})
        order by {", ".join(map(quoted, view.join_keys))}"""


def _moments(view: FeatureView) -> tuple[str, str]:
    """Event_timestamp and created_timestamp, the latter before all times where it is not known."""
    source = _source(view)
    created = _column(view, source.created_timestamp_column) if source.created_timestamp_column else "null"
    event = f"{_column(view, source.timestamp_field)}::timestamptz"
    return event, f"coalesce({created}::timestamptz, '-infinity'::timestamptz)"


def _column(view: FeatureView, name: str) -> str:
    """A column of the file by its name in the view."""
    in_file = {new: old for old, new in _source(view).field_mapping.items()}
    return quoted(in_file.get(name, name))
