"""Rows of a view as they are written: exactly its columns, in its types, and when they were written."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_repo import schema
from feature_repo.errors import StoreError
from feature_repo.plan import Fields, arrow_fields

if TYPE_CHECKING:
    from feast import FeatureView


def columns_of(view: "FeatureView") -> Fields:
    """Columns of a view's rows but the time of writing."""
    moment = {schema.EVENT_TIMESTAMP: schema.TIMESTAMP}
    return arrow_fields(view.entity_columns) | moment | arrow_fields(view.features)


def typed_rows(view: "FeatureView", rows: pa.Table, written_at: datetime | None = None) -> pa.Table:
    """Entity key, event_timestamp, features and created_timestamp of a view, from columns in any order.

    written_at: by which Feast chooses among rows of one entity and event_timestamp; default now.

    Raises:
        StoreError: a column is missing or of another type.
    """
    columns = columns_of(view)
    if absent := [column for column in columns if column not in rows.column_names]:
        raise StoreError(f"rows of {view.name} lack {', '.join(absent)}; needed: {', '.join(columns)}")
    try:
        typed = rows.select(list(columns))
        if typed.schema.types != [*columns.values()]:
            typed = typed.cast(pa.schema(list(columns.items())))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(f"rows of {view.name} have a column of another type ({error}); wanted: {columns}") from error
    moment = pa.scalar(written_at or datetime.now(UTC), schema.TIMESTAMP)
    return typed.append_column(schema.CREATED_TIMESTAMP, pa.repeat(moment, len(typed)))
