"""One view's part of a point-in-time join, whatever order its rows were written in.

A row of a view has two moments: `event`, of which it tells, and `created`, when it was written. It can be seen from its
event on, or from the later of both where what was not yet written must not be seen. Of the rows that can be seen at a
moment the one of the latest event counts, and of those the one created last.

DuckDB reads of the view what may count at all: rows of the keys and times that are asked for. Which of them counts for
which entity row is found by `LatestRows`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from feast import FeatureView
from feast.data_source import DataSource
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.duckdb import _read_data_source

from feature_repo.errors import StoreError
from feature_repo.sources import is_recomputed
from feature_repo.stores.latest_rows import LEAST, NONE, Ints, LatestRows
from feature_repo.stores.local_parquet import files_of, local_parquet
from feature_repo.stores.naming import literal, quoted

ASKED: Final = "asked"  # in DuckDB: `moment` and all entity keys of the entity rows, in their order
_SOURCE: Final = "source"
_FOUND: Final = "found"  # place of an entity row, number of the row of the view
_FOUND_PART: Final = "found_part"
_KEYS: Final = "asked_keys"
_KEY: Final = "__asof_key"  # a number for each distinct key, among columns of any name
_ROW: Final = "__asof_row"

PART: Final = 1 << 21  # entity rows held at once, at about 150 bytes each
BATCH: Final = 1 << 17  # rows of a view looked at together

_READING: Final = Lock()  # Feast reads by one connection of its own


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

        The numbers of the rows that count are found first; features are read of these alone.

        duck: a connection of this join's own, for its tables.
        """
        columns = self._place_source(duck)
        in_source = {new: old for old, new in self.source.field_mapping.items() if old in columns}

        def column(name: str) -> str:
            return f"{_SOURCE}.{quoted(in_source.get(name, name))}"

        duck.execute(f"create or replace temp table {_FOUND} (place bigint, number bigint)")
        count = _count(duck, ASKED)
        for start in range(0, count, PART):
            places = np.arange(start, min(start + PART, count))
            numbers = self._numbers(duck, column, places)
            duck.register(_FOUND_PART, pa.table({"place": places, "number": pa.array(numbers, mask=numbers == NONE)}))
            duck.execute(f"insert into {_FOUND} from {_FOUND_PART}")
            duck.unregister(_FOUND_PART)
        features = ", ".join(f"{column(name)} as {quoted(shown)}" for shown, name in self.features.items())
        query = f"""
            select {features}
            from {_FOUND} as found left join {_SOURCE} on found.number = {_SOURCE}.{_ROW}
            order by found.place"""
        return duck.sql(query)

    def _numbers(self, duck: DuckDBPyConnection, column: Callable[[str], str], places: Ints) -> Ints:
        """Of entity rows at consecutive places, the number of the row that counts, or `NONE`."""
        keys = [quoted(key) for key in dict.fromkeys(self.keys.values())]
        part = f"select * from {ASKED} where rowid between {places[0]} and {places[-1]}"
        distinct = f"select distinct {', '.join(keys)} from ({part})" if keys else "select 1"
        duck.execute(
            f"create or replace temp table {_KEYS} as select row_number() over () - 1 as {_KEY}, * from ({distinct})"
        )
        on = [f"asked.{key} = keys.{key}" for key in keys]
        asked = duck.sql(
            f"""
            select {_KEY}, epoch_us(asked.moment) as moment, asked.rowid as place
            from {ASKED} as asked join {_KEYS} as keys on {" and ".join(on or ["true"])}
            where asked.rowid between {places[0]} and {places[-1]} and asked.moment is not null
            order by all"""
        ).to_arrow_table()
        counts = np.full(len(places), NONE, np.int64)
        if len(asked):
            key, moment, place = (values.to_numpy() for values in asked.columns)
            latest = LatestRows(key, moment, _count(duck, _KEYS))
            rows = duck.sql(self._versions(column, int(moment.min()), int(moment.max())))
            for batch in rows.to_arrow_reader(BATCH):
                latest.see(*(values.to_numpy() for values in batch.columns))
            counts[place - places[0]] = latest.numbers(self._ttl_us)
        return counts

    def _versions(self, column: Callable[[str], str], first: int, last: int) -> str:
        """SQL of the rows that may count at moments from `first` to `last`: key, visible, event, created, number."""
        event = f"{column(self.source.timestamp_field)}::timestamptz"
        created = f"{column(self.source.created_timestamp_column)}::timestamptz" if self._has_created else event
        hides = self.hides_unwritten and self._has_created
        visible = f"greatest({event}, {created})" if hides else event
        # both by themselves, so that they are compared with the statistics of a file's parts
        seen = [f"{stamp} <= {_moment(last)}" for stamp in ([event, created] if hides else [event])]
        if self._ttl_us:
            seen.append(f"{event} >= {_moment(max(first - self._ttl_us, LEAST // 2))}")  # ever since, for DuckDB
        on = [f"{column(name)} = keys.{quoted(key)}" for name, key in self.keys.items()]
        return f"""
            select
                {_KEY},
                epoch_us({visible}) as visible,
                epoch_us({event}) as event,
                coalesce(epoch_us({created}), {LEAST}) as created,
                {_ROW}
            from {_SOURCE} join {_KEYS} as keys on {" and ".join(on or ["true"])}
            where {" and ".join(seen)}"""

    @property
    def _ttl_us(self) -> int:
        return self.ttl // timedelta(microseconds=1)

    @property
    def _has_created(self) -> bool:
        return bool(self.source.created_timestamp_column)

    def _place_source(self, duck: DuckDBPyConnection) -> list[str]:
        """Make all rows of the source, numbered, known to a connection as `_SOURCE`; its columns."""
        path = local_parquet(self.source, self.repo_path)
        if path is None:  # as Feast reads it: in memory
            with _READING:
                rows = _read_data_source(self.source, self.repo_path).to_pyarrow()
            number = pa.array(range(len(rows)), pa.int64())
            duck.register(_SOURCE, rows.append_column(_ROW, number))
        else:
            if not Path(path).exists():
                raise StoreError(f"{path}: feature view {self.name} has no rows; `trichord run` writes them")
            duck.execute(
                f"create temp view {_SOURCE} as select *, (file_index::bigint << 40) + file_row_number as {_ROW} "
                f"from read_parquet({literal(files_of(path))})"
            )
        return list(duck.sql(f"from {_SOURCE}").columns)


def _moment(microseconds: int) -> str:
    return f"make_timestamp({microseconds})::timestamptz"


def _count(duck: DuckDBPyConnection, table: str) -> int:
    return int(duck.table(table).shape[0])
