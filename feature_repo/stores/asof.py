"""Feast's DuckDB offline store with one native ASOF join a view as its point-in-time join.

Feast's own is an inequality join of every requested row with all earlier rows of its entity, of which it then keeps
the latest; an ASOF join goes to the latest at once. All other reading and writing is the stock store's.
"""

from dataclasses import dataclass
from typing import Final, Literal, cast

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView, RepoConfig
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _write_data_source,
)
from feast.infra.offline_stores.ibis import IbisRetrievalJob
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry

from feature_repo.schema import TIMESTAMP

_ROW: Final = "__asof_row"


class AsofDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):
    """The stock store's settings under this store's name."""

    type: Literal["feature_repo.stores.asof.AsofDuckDBOfflineStore"] = "feature_repo.stores.asof.AsofDuckDBOfflineStore"


class AsofDuckDBOfflineStore(DuckDBOfflineStore):
    """Point-in-time joins over Parquet files; whatever it cannot join itself it leaves to the stock store."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """Entity rows, in their order and number, with the latest features of at most their ttl at each row's moment.

        Of rows of one entity and moment the one created last counts.
        """
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        if (
            not isinstance(entity_df, pd.DataFrame)
            or filter_by_created_timestamp
            or any(view.mode == "substrait" for view in on_demand)
            or not all(_is_parquet(view) for view in feature_views)
        ):
            return DuckDBOfflineStore.get_historical_features(
                config,
                feature_views,
                feature_refs,
                cast(str, entity_df),
                registry,
                project,
                full_feature_names,
                filter_by_created_timestamp,
            )
        moment = infer_event_timestamp_from_entity_df(dict(zip(entity_df.columns, entity_df.dtypes, strict=True)))
        times = pd.to_datetime(entity_df[moment], utc=True)
        joins = [_Join.of(view, feature_refs, full_feature_names) for view in feature_views]
        return _AsofRetrievalJob(
            _point_in_time(_entity_rows(entity_df, moment, times), moment, joins),
            on_demand_feature_views=on_demand,
            full_feature_names=full_feature_names,
            metadata=RetrievalMetadata(
                features=feature_refs,
                keys=[name for name in entity_df.columns if name != moment],
                min_event_timestamp=times.min(),
                max_event_timestamp=times.max(),
            ),
            data_source_writer=_write_data_source,
            staging_location=config.offline_store.staging_location,
            staging_location_endpoint_override=config.offline_store.staging_location_endpoint_override,
            repo_path=str(config.repo_path),
        )


class _AsofRetrievalJob(IbisRetrievalJob):
    """The stock job over rows that are joined already."""

    def __init__(self, rows: pa.Table, **stock: object) -> None:
        super().__init__(ibis.memtable(rows), **stock)
        self._rows = rows

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._rows


@dataclass(frozen=True)
class _Join:
    """One view's part of the join; every name as it stands in the file, beside the one to give it.

    keys: column of the entity rows -> column of the file. features: name in the result -> column of the file.
    """

    path: str
    keys: dict[str, str]
    features: dict[str, str]
    moment: str
    created: str | None
    ttl_us: int

    @classmethod
    def of(cls, view: FeatureView, feature_refs: list[str], full_feature_names: bool) -> "_Join":
        source = _file_source(view)
        in_file = {new: old for old, new in source.field_mapping.items()}

        def column(name: str) -> str:
            return in_file.get(name, name)

        prefix = f"{view.projection.name_to_use()}:"  # type: ignore[no-untyped-call]
        names = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
        shown = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
        mapped = view.projection.join_key_map
        return cls(
            path=source.path,
            keys={
                mapped.get(column.name, column.name): in_file.get(column.name, column.name)
                for column in view.entity_columns
            },
            features={f"{shown}{name}": column(name) for name in names},
            moment=column(source.timestamp_field),
            created=column(source.created_timestamp_column) if source.created_timestamp_column else None,
            ttl_us=round(view.ttl.total_seconds() * 1e6) if view.ttl else 0,
        )

    def select(self, alias: str) -> list[str]:
        """Features, null where the row found is older than the ttl."""
        fresh = f"entity.__moment - {alias}.__moment <= to_microseconds({self.ttl_us})" if self.ttl_us else "true"
        return [
            f"case when {fresh} then {alias}.{_name(old)} end as {_name(new)}" for new, old in self.features.items()
        ]

    def join(self, alias: str) -> str:
        """The view's rows, one an entity and moment, joined to the entity rows."""
        keys = [_name(key) for key in self.keys.values()]
        moment = f"{_name(self.moment)}::timestamptz"
        newest = f"order by {_name(self.created)} desc" if self.created else ""
        match = " and ".join(f"entity.{_name(one)} = {alias}.{_name(key)}" for one, key in self.keys.items())
        return f"""
            asof left join (
                select *, {moment} as __moment
                from read_parquet(${alias})
                qualify row_number() over (partition by {", ".join(keys)}, {moment} {newest}) = 1
            ) as {alias} on {match} and entity.__moment >= {alias}.__moment"""


def _point_in_time(entities: pa.Table, moment: str, joins: list[_Join]) -> pa.Table:
    """Run all joins in one query, answered in the order of the entity rows."""
    aliases = {f"view{place}": join for place, join in enumerate(joins)}
    features = [column for alias, join in aliases.items() for column in join.select(alias)]
    query = f"""
        select entity.* exclude (__moment, {_ROW}), {", ".join(features) or "null"}
        from (select *, {_name(moment)} as __moment from entities) as entity
        {"".join(join.join(alias) for alias, join in aliases.items())}
        order by entity.{_ROW}"""
    with duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'")
        duck.register("entities", entities)
        return duck.sql(query, params={alias: join.path for alias, join in aliases.items()}).to_arrow_table()


def _entity_rows(frame: pd.DataFrame, moment: str, times: pd.Series) -> pa.Table:
    """Entity rows in Arrow, their moments in UTC, numbered."""
    rows = pa.Table.from_pandas(frame.assign(**{moment: times}), preserve_index=False)
    place = rows.schema.get_field_index(moment)
    rows = rows.set_column(place, moment, rows[moment].cast(TIMESTAMP, safe=False))
    return rows.append_column(_ROW, pa.array(range(len(frame)), pa.int64()))


def _is_parquet(view: FeatureView) -> bool:
    source = view.batch_source
    return isinstance(source, FileSource) and isinstance(source.file_format or ParquetFormat(), ParquetFormat)


def _file_source(view: FeatureView) -> FileSource:
    return cast(FileSource, view.batch_source)  # of every view that `_is_parquet`


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
