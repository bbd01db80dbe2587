"""Feast's DuckDB offline store with a point-in-time join of its own: as of each row's moment, view by view.

Feast's is an inequality join of every requested row with all earlier rows of its entity, of which it then keeps the
latest. Here each row of a view is looked at once, which is also less than DuckDB's ASOF join does: that sorts the view.
All other reading is the stock store's.

What was not yet written at a row's moment is not seen, as under Feast's `filter_by_created_timestamp`, which is on
here unless the store is told otherwise: a value computed late, or corrected later, was not what a model could have read
at that moment. A source whose rows are all computed again at each writing cannot tell that by its created timestamps;
it says so by a tag (`sources.is_recomputed`) and its rows are seen from their event timestamp on. Ours do: they are
step functions of the event log, each row of only what occurred before it. A request that asks for the filter itself
gets it for every view.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq
from feast import FeatureView, OnDemandFeatureView, RepoConfig
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.ibis import offline_write_batch_ibis
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.infra.registry.base_registry import BaseRegistry
from ibis.expr.types import Table

from feature_repo.durable import replacing
from feature_repo.errors import StoreError
from feature_repo.stores.asof_job import AsofRetrievalJob, Resources
from feature_repo.stores.entity_rows import EntityFrame, EntityRows
from feature_repo.stores.local_parquet import local_parquet
from feature_repo.stores.view_join import ViewJoin


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The stock store's settings under this store's name, and those of the point-in-time join.

    hide_unwritten: whether a row is seen only from the moment on at which it was written.
    memory_limit: of DuckDB ("4GB"); beyond it a join goes on in files. Default: 80 % of the machine's. Besides it the
    join of a view holds up to about 300 MB.
    spill_folder: where those files go. Default: the system's folder for temporary files.
    """

    type: Literal["feature_repo.stores.asof.AsofDuckDBOfflineStore"] = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
    hide_unwritten: bool = True
    memory_limit: str | None = None
    spill_folder: Path | None = None


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins over any source that the stock store reads; those over Parquet never hold a view whole."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: EntityFrame | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Entity rows, in their order and number, with the latest features of at most their ttl at each row's moment.

        entity_df: a pandas frame, an Arrow table, the path of a Parquet file, or a query in DuckDB's SQL. Its moments
        are `event_timestamp`, else its only timestamp; UTC without a zone; they come back as `timestamp[us, UTC]`.
        Of rows of one entity and moment the one created last counts.

        Raises:
            StoreError: at once, if the rows lack a column or bring one of a feature's name; when the job runs, if a
                view's rows cannot be read or its key is of another type.
        """
        settings = config.offline_store
        entities = EntityRows.of(entity_df)
        by_created = True if filter_by_created_timestamp else None if settings.hide_unwritten else False
        joins = [
            ViewJoin.of(
                view,
                feature_refs,
                str(config.repo_path),
                full_feature_names=full_feature_names,
                by_created=by_created,
            )
            for view in feature_views
        ]
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        _check_columns(entities, joins, on_demand)
        return AsofRetrievalJob(
            entities,
            joins,
            feature_refs=feature_refs,
            on_demand=on_demand,
            full_feature_names=full_feature_names,
            resources=Resources(settings.memory_limit, settings.spill_folder),
            config=config,
        )

    @staticmethod
    def offline_write_batch(
        config: RepoConfig,
        feature_view: FeatureView,
        table: pa.Table,
        progress: Callable[[int], object] | None,
    ) -> None:
        """Add rows to a view's source; a Parquet file is replaced at once, so that none is ever half written."""
        path = local_parquet(feature_view.batch_source, str(config.repo_path))
        if path is None or Path(path).is_dir():
            DuckDBOfflineStore.offline_write_batch(config, feature_view, table, progress)
            return

        def write(rows: Table, *_: object) -> None:
            _append(Path(path), rows.to_pyarrow())

        offline_write_batch_ibis(config, feature_view, table, progress, data_source_writer=write)


def _append(path: Path, rows: pa.Table) -> None:
    with (
        pq.ParquetFile(path) as before,
        replacing(path) as after,
        pq.ParquetWriter(after, before.schema_arrow) as writer,
    ):
        for batch in before.iter_batches():
            writer.write_batch(batch)
        writer.write_table(rows.cast(before.schema_arrow))


def _check_columns(entities: EntityRows, joins: list[ViewJoin], on_demand: list[OnDemandFeatureView]) -> None:
    keys = {key for join in joins for key in join.keys.values()}
    needed = keys.union(*(view.get_request_data_schema() for view in on_demand))
    if absent := sorted(needed - set(entities.columns)):
        raise StoreError(f"entity rows lack {', '.join(absent)}; they have: {', '.join(entities.columns)}")
    if twice := sorted({name for join in joins for name in join.features} & set(entities.columns)):
        raise StoreError(f"entity rows have columns of the names of features: {', '.join(twice)}; rename them")
