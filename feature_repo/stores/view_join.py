"""One view's part of a point-in-time join: one native ASOF join, whatever order its rows were written in.

An ASOF join goes by one moment, a row of a view has two: `event`, of which it tells, and `created`, when it was
written. Here it goes by the moment from which a row can be seen: `event`, or the later of both where what was not yet
written must not be seen. Of the rows that can be seen at a moment the one of the latest event counts, and of those the
one created last. So a row that an earlier-seen one of a later event covers never counts, nor does any but the last of
those that appear at once; without these, the row that became visible last is the one that counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, cast

import pyarrow as pa
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from feast import FeatureView, FileSource
from feast.data_format import ParquetFormat
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.duckdb import _read_data_source

from feature_repo.errors import StoreError
from feature_repo.sources import is_recomputed
from feature_repo.stores.naming import quoted

ASKED: Final = "asked"  # in DuckDB: `moment` and all entity keys of the entity rows, in their order
_SOURCE: Final = "source"
_ROW: Final = "__asof_row"


@dataclass(frozen=True)
class ViewJoin:
    """What is joined of one view, by the names that definitions use, and how.

    keys: key of the view -> column of the entity rows. features: name in the answer -> name in the view.
    hides_unwritten: whether a row is seen only from the moment on at which it was written.
    """

    name: str
    source: DataSource
    ttl: timedelta
    repo_path: str
    keys: dict[str, str]
    features: dict[str, str]
    hides_unwritten: bool

    @classmethod
    def of(
        cls,
        view: FeatureView,
        feature_refs: list[str],
        repo_path: str,
        *,
        full_feature_names: bool,
        by_created: bool | None,
    ) -> "ViewJoin":
        """Part of a view in a request. by_created: whether unwritten rows are hidden; None leaves it to the source."""
        if view.batch_source is None:
            raise StoreError(f"feature view {view.name} has no batch source, so it has no history; give it one")
        prefix = f"{view.projection.name_to_use()}:"  # type: ignore[no-untyped-call]
        names = [ref.removeprefix(prefix) for ref in feature_refs if ref.startswith(prefix)]
        shown = f"{view.projection.name_alias or view.name}__" if full_feature_names else ""
        mapped = view.projection.join_key_map
        keys = [column.name for column in view.entity_columns if column.name != DUMMY_ENTITY_ID]
        return cls(
            name=view.name,
            source=view.batch_source,
            ttl=view.ttl or timedelta(0),
            repo_path=repo_path,
            keys={key: mapped.get(key, key) for key in keys},
            features={f"{shown}{name}": name for name in names},
            hides_unwritten=not is_recomputed(view.batch_source) if by_created is None else by_created,
        )

    def answer(self, duck: DuckDBPyConnection) -> DuckDBPyRelation:
        """Features of all rows of `ASKED`, in their order; null where there are none, or only older than the ttl.

        The join itself carries row numbers alone; features are fetched for the rows that it found.
        """
        source = self._relation(duck)
        in_source = {new: old for old, new in self.source.field_mapping.items() if old in source.columns}

        def column(name: str) -> str:
            return quoted(in_source.get(name, name))

        ttl_us = self.ttl // timedelta(microseconds=1)
        fresh = f"epoch_us(asked.moment) - epoch_us(version.event) <= {ttl_us}" if ttl_us else "true"
        keys = [f"asked.{quoted(key)} = version.key_{place}" for place, key in enumerate(self.keys.values())]
        features = [f"{_SOURCE}.{column(name)} as {quoted(shown)}" for shown, name in self.features.items()]
        query = f"""
            select {", ".join(features)}
            from (
                select asked.place, case when {fresh} then version.{_ROW} end as {_ROW}
                from (select *, rowid as place from {ASKED}) as asked
                asof left join ({self._versions(column)}) as version
                on {" and ".join([*keys, "asked.moment >= version.visible"])}
            ) as found
            left join {_SOURCE} on found.{_ROW} = {_SOURCE}.{_ROW}
            order by found.place"""
        return cast(DuckDBPyRelation, source.query(_SOURCE, query))  # None for what is no select

    def _versions(self, column: Callable[[str], str]) -> str:
        """The rows that count at some moment: key_0.., event, visible (both timestamptz), number."""
        keys = {f"key_{place}": column(name) for place, name in enumerate(self.keys)}
        event = f"{column(self.source.timestamp_field)}::timestamptz"
        if not self.source.created_timestamp_column:
            return _select(keys | {"event": event, "visible": event, _ROW: _ROW})
        created = f"{column(self.source.created_timestamp_column)}::timestamptz"
        visible = f"greatest({event}, {created})" if self.hides_unwritten else event
        rows = _select(keys | {"event": event, "visible": visible, "created": created, _ROW: _ROW})
        # without hiding `visible` is `event`, so that no row is covered by an earlier one
        uncovered = "event >= max(event) over seen and" if self.hides_unwritten else ""
        return f"""
            select * from ({rows})
            where {"created is not null" if self.hides_unwritten else "true"}
            window seen as (
                {"partition by" if keys else ""} {", ".join(keys)} order by visible, event, created nulls first
            )
            qualify {uncovered} visible is distinct from lead(visible) over seen"""

    def _relation(self, duck: DuckDBPyConnection) -> DuckDBPyRelation:
        """All rows of the source, numbered."""
        path = local_parquet(self.source, self.repo_path)
        if path is None:  # as Feast reads it: in memory
            rows = _read_data_source(self.source, self.repo_path).to_pyarrow()
            number = pa.array(range(len(rows)), pa.int64())
            return duck.from_arrow(rows.append_column(_ROW, number))
        if not Path(path).exists():
            raise StoreError(f"{path}: feature view {self.name} has no rows; `trichord run` writes them")
        files = f"{path}/**/*.parquet" if Path(path).is_dir() else path
        return duck.read_parquet(files).project(f"*, (file_index::bigint << 40) + file_row_number as {_ROW}")


def local_parquet(source: object, repo_path: str) -> str | None:
    """Path of a source that is a Parquet file, or a folder of them, on this machine; None for any other source."""
    if not isinstance(source, FileSource) or not isinstance(source.file_format or ParquetFormat(), ParquetFormat):
        return None
    path: str = FileSource.get_uri_for_file_path(repo_path, source.path)
    return None if "://" in path else path


def _select(columns: dict[str, str]) -> str:
    return f"select {', '.join(f'{expression} as {name}' for name, expression in columns.items())} from {_SOURCE}"
