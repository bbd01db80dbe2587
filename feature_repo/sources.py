"""Where feature rows lie and how live ones come in."""

from pathlib import Path
from typing import Final

from feast import FileSource, PushSource
from feast.data_source import DataSource

from feature_repo import schema
from feature_repo.settings import Settings

# A tag of sources whose rows of all times are computed again at each writing. Their created_timestamp is the moment of
# the latest computation, not that from which a value was known: that is their event_timestamp, by the rule that a row
# uses only what occurred before it.
_RECOMPUTED: Final = {"created_timestamp": "recomputed"}


def rows_path(settings: Settings, view: str) -> Path:
    """The Parquet file of a view's rows; absolute, since Feast reads relative paths from its own folder."""
    return settings.lake.resolve() / "features" / f"{view}.parquet"


def rows_source(settings: Settings, view: str) -> FileSource:
    """A view's rows of all times."""
    return FileSource(
        name=f"{view}_rows",
        path=str(rows_path(settings, view)),
        timestamp_field=schema.EVENT_TIMESTAMP,
        created_timestamp_column=schema.CREATED_TIMESTAMP,
        tags=_RECOMPUTED,
    )


def is_recomputed(source: DataSource) -> bool:
    """Whether the time of writing of a source's rows says nothing about when their values were known."""
    return source.tags.items() >= _RECOMPUTED.items()


def push_source(settings: Settings, view: str) -> PushSource:
    """Rows of all times, and those that an event has just changed."""
    return PushSource(name=push_name(view), batch_source=rows_source(settings, view))


def push_name(view: str) -> str:
    """Name of the view's push source."""
    return f"{view}_push"
