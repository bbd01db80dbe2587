"""A point-in-time join that is ready to run: to Arrow, to pandas, to a Parquet file, to a saved dataset."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from feast import OnDemandFeatureView, RepoConfig
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.duckdb import _write_data_source
from feast.infra.offline_stores.ibis import IbisRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from feature_repo.errors import StoreError
from feature_repo.plan import Fields, arrow_fields
from feature_repo.stores.entity_rows import ENTITIES, EntityRows
from feature_repo.stores.local_parquet import local_parquet
from feature_repo.stores.naming import quoted
from feature_repo.stores.view_join import ASKED, ViewJoin

_AT_ONCE: Final = 2  # views joined beside each other: much of a join is one thread's work


@dataclass(frozen=True)
class Resources:
    """What a join may take. memory_limit: DuckDB's; spill_folder: where it goes on beyond that."""

    memory_limit: str | None
    spill_folder: Path | None


class AsofRetrievalJob(RetrievalJob):
    """Entity rows with features, each view joined in a step of its own, so that memory does not grow with their number.

    It runs anew each time that it is asked, and raises `StoreError` where DuckDB cannot answer.
    """

    def __init__(
        self,
        entities: EntityRows,
        joins: Sequence[ViewJoin],
        *,
        feature_refs: list[str],
        on_demand: Sequence[OnDemandFeatureView],
        full_feature_names: bool,
        resources: Resources,
        config: RepoConfig,
    ) -> None:
        self._entities = entities
        self._joins = joins
        self._feature_refs = feature_refs
        self._on_demand = on_demand
        self._full_feature_names = full_feature_names
        self._resources = resources
        self._config = config

    @property
    def full_feature_names(self) -> bool:
        """Whether the names of features carry those of their views."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The on-demand views that Feast computes from the joined rows."""
        return list(self._on_demand)

    @cached_property
    def metadata(self) -> RetrievalMetadata:
        """What was asked for, with the first and last moment of the entity rows."""
        with self._duck() as duck:
            first, last = self._entities.span(duck)
        keys = [name for name in self._entities.columns if name != self._entities.moment]
        return RetrievalMetadata(self._feature_refs, keys, first, last)

    def to_parquet(self, path: Path) -> None:
        """Write the answer to a file at once, without ever holding it whole.

        On-demand views see a part of the rows at a time, as they do online. Beyond the store's `memory_limit` the join
        goes on in its `spill_folder`.
        """
        partial = path.with_name(path.name + ".partial")
        with self._duck() as duck:
            joined = self._joined(duck)
            if self._on_demand:
                self._write_batches(joined, partial)
            else:
                joined.write_parquet(str(partial), compression="zstd")
        partial.replace(path)

    def persist(self, storage: SavedDatasetStorage, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the answer, features of on-demand views included, to where a saved dataset lies.

        Raises:
            SavedDatasetLocationAlreadyExists: something lies there, and must not be overwritten.
        """
        source = storage.to_data_source()
        path = local_parquet(source, str(self._config.repo_path))
        if path is None or not path.endswith(".parquet"):
            _write_data_source(
                ibis.memtable(self.to_arrow()), source, str(self._config.repo_path), "overwrite", allow_overwrite
            )
        elif Path(path).exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=path)
        else:
            self.to_parquet(Path(path))

    def supports_remote_storage_export(self) -> bool:
        """Whether `staging_location` is set."""
        return self._config.offline_store.staging_location is not None

    def to_remote_storage(self) -> list[str]:
        """Export to `staging_location`, as the stock store does."""
        settings = self._config.offline_store
        paths: list[str] = IbisRetrievalJob(
            ibis.memtable(self.to_arrow()),
            on_demand_feature_views=[],
            full_feature_names=self._full_feature_names,
            metadata=self.metadata,
            data_source_writer=_write_data_source,
            staging_location=settings.staging_location,
            staging_location_endpoint_override=settings.staging_location_endpoint_override,
            repo_path=str(self._config.repo_path),
        ).to_remote_storage()
        return paths

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._duck() as duck:
            answer = self._entities.place_in(duck).to_arrow_table()
            self._place_asked(duck)
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                own = [duck.cursor() for _ in self._joins]
                parts = list(pool.map(lambda join, duck: join.answer(duck).to_arrow_table(), self._joins, own))
            for found in parts:
                for name in found.column_names:
                    answer = answer.append_column(found.field(name), found[name])
        return answer

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def _joined(self, duck: DuckDBPyConnection) -> DuckDBPyRelation:
        """The answer in DuckDB, in order, each step in a table that can move to disk."""
        self._entities.place_in(duck)
        self._place_asked(duck)
        tables = [ENTITIES]
        for place, join in enumerate(self._joins):
            join.answer(duck.cursor()).create(f"step_{place}")
            tables.append(f"step_{place}")
        return duck.sql(f"from {' positional join '.join(tables)}")

    def _place_asked(self, duck: DuckDBPyConnection) -> None:
        keys = dict.fromkeys(quoted(key) for join in self._joins for key in join.keys.values())
        moment = f"{quoted(self._entities.moment)} as moment"
        duck.execute(f"create table {ASKED} as select {', '.join([moment, *keys])} from {ENTITIES}")

    def _write_batches(self, joined: DuckDBPyRelation, path: Path) -> None:
        with joined.to_arrow_reader() as batches:
            columns = {field.name: field.type for field in batches.schema}
            declared = arrow_fields(field for view in self._on_demand for field in view.features)
            # a type that pandas changes where a part has nulls is the declared one again
            schema = pa.schema(list((columns | self._requested(declared)).items()))
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in batches:
                    part = _Part(pa.Table.from_batches([batch]), self).to_arrow()
                    writer.write_table(part.select(schema.names).cast(schema))

    def _requested(self, declared: Fields) -> Fields:
        """Names in the answer of those features of on-demand views that were asked for, with their types."""
        requested: Fields = {}
        for view in self._on_demand:
            name = view.projection.name_to_use()  # type: ignore[no-untyped-call]
            for ref in self._feature_refs:
                if ref.startswith(f"{name}:"):
                    feature = ref.removeprefix(f"{name}:")
                    requested[f"{name}__{feature}" if self._full_feature_names else feature] = declared[feature]
        return requested

    @contextmanager
    def _duck(self) -> Iterator[DuckDBPyConnection]:
        with TemporaryDirectory(prefix="asof-", dir=self._resources.spill_folder) as folder, duckdb.connect() as duck:
            duck.execute("set global timezone = 'UTC'")  # of its cursors, too
            duck.execute("set temp_directory = $folder", {"folder": folder})
            if self._resources.memory_limit is not None:
                duck.execute("set memory_limit = $limit", {"limit": self._resources.memory_limit})
            try:
                yield duck
            except duckdb.Error as error:
                views = ", ".join(join.name for join in self._joins)
                what = str(error).partition("\n")[0]  # the rest quotes the SQL
                raise StoreError(
                    f"the point-in-time join of {views} failed: {what}; if a file is damaged, delete it: "
                    "`trichord run` writes it again"
                ) from error


class _Part(RetrievalJob):
    """Some of the joined rows of a job, for Feast to compute its on-demand views from."""

    def __init__(self, rows: pa.Table, job: AsofRetrievalJob) -> None:
        self._rows = rows
        self._job = job

    @property
    def full_feature_names(self) -> bool:
        return self._job.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._job.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._job.metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._rows
