"""The rows that are asked for features: a pandas frame, an Arrow table, a Parquet file or a query."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.types as types
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from feature_repo.errors import StoreError
from feature_repo.schema import EVENT_TIMESTAMP, TIMESTAMP
from feature_repo.stores.naming import literal, quoted

EntityFrame: TypeAlias = pd.DataFrame | pa.Table | Path | str

ENTITIES: Final = "entities"  # in DuckDB: the rows as they came, moments in UTC


@dataclass(frozen=True)
class EntityRows:
    """Entity rows in a fixed order.

    frame: a table, or the SQL of one. moment: the column of the points in time; without a zone they are UTC.
    """

    frame: pa.Table | str
    moment: str
    columns: tuple[str, ...]

    @classmethod
    def of(cls, frame: object) -> "EntityRows":
        """Take up a frame. A string that ends in .parquet is a path, any other a query that DuckDB answers.

        Raises:
            StoreError: it is none of these, cannot be read, or does not say which of its columns is the moment.
        """
        if isinstance(frame, pd.DataFrame):
            frame = _from_pandas(frame)
        if isinstance(frame, pa.Table):
            moment = _moment(frame.schema)
            return cls(_with_utc(frame, moment), moment, tuple(frame.column_names))
        if isinstance(frame, Path | str):
            query = f"from read_parquet({literal(frame)})" if _is_path(frame) else str(frame).rstrip().rstrip(";")
            columns = _described(query)
            moment = _moment(columns)
            name = quoted(moment)
            in_utc = f"select * replace ({name}::timestamptz as {name}) from ({query})"
            return cls(in_utc, moment, tuple(columns.names))
        raise StoreError(
            f"entity rows are a {type(frame).__name__}; accepted: a pandas frame, an Arrow table, the path of a "
            "Parquet file, or a query in DuckDB's SQL"
        )

    def place_in(self, duck: DuckDBPyConnection) -> DuckDBPyRelation:
        """Make the rows known to a connection as `ENTITIES`; a query runs once, so that all steps see one answer."""
        if isinstance(self.frame, str):
            duck.execute(f"create table {ENTITIES} as {self.frame}")
        else:
            duck.register(ENTITIES, self.frame)
        return duck.table(ENTITIES) if isinstance(self.frame, str) else duck.view(ENTITIES)

    def span(self, duck: DuckDBPyConnection) -> tuple[pd.Timestamp, pd.Timestamp]:
        """First and last moment, NaT where there is none."""
        name = quoted(self.moment)
        first, last = self.place_in(duck).aggregate(f"epoch_us(min({name})), epoch_us(max({name}))").fetchall()[0]
        return pd.Timestamp(first, unit="us", tz="UTC"), pd.Timestamp(last, unit="us", tz="UTC")


def _from_pandas(frame: pd.DataFrame) -> pa.Table:
    """A frame in Arrow; moments may be text there, or datetimes of several zones."""
    if EVENT_TIMESTAMP in frame:
        frame = frame.assign(**{EVENT_TIMESTAMP: pd.to_datetime(frame[EVENT_TIMESTAMP], utc=True)})
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def _with_utc(rows: pa.Table, moment: str) -> pa.Table:
    place = rows.schema.get_field_index(moment)
    try:
        return rows.set_column(place, moment, rows[moment].cast(TIMESTAMP, safe=False))
    except pa.ArrowException as error:
        raise StoreError(f"{moment} of the entity rows is no moment ({error}); give timestamps") from error


def _moment(columns: pa.Schema) -> str:
    timestamps: list[str] = [field.name for field in columns if types.is_timestamp(field.type)]
    if EVENT_TIMESTAMP in columns.names:
        return EVENT_TIMESTAMP
    if len(timestamps) != 1:
        raise StoreError(
            f"entity rows have the columns {', '.join(columns.names)}, of which {len(timestamps)} are timestamps; name "
            f"the point in time {EVENT_TIMESTAMP}"
        )
    return timestamps[0]


def _described(query: str) -> pa.Schema:
    try:
        with duckdb.connect() as duck:
            return duck.sql(f"select * from ({query}) limit 0").to_arrow_table().schema
    except duckdb.Error as error:
        raise StoreError(f"entity rows cannot be read: {error}; asked was: {query}") from error


def _is_path(frame: Path | str) -> bool:
    return isinstance(frame, Path) or (frame.endswith(".parquet") and " " not in frame.strip())
