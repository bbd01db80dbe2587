"""The Parquet files of the views' rows of all times: replaced whole, and looked at before they are read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.durable import replacing
from feature_repo.errors import StoreError
from feature_repo.plan import arrow_fields
from feature_repo.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

_REMEDY: Final = "`trichord run` writes it again; what is online stays"  # where `has_rows` is false


def write_rows(path: Path, rows: pa.Table) -> Path:
    """Put rows in the place of what was there.

    Raises:
        StoreError: they cannot be written; what was there stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            pq.write_table(rows, file)
        return path
    except OSError as error:
        raise StoreError(
            f"{path}: rows cannot be written ({error}); those of before stay; make room, or choose a home that this "
            "user may write to, and write them again"
        ) from error


def read_rows(path: Path, columns: list[str] | None = None) -> pa.Table:
    """All rows of a file; of some columns if given.

    Raises:
        StoreError: it is damaged or cannot be read.
    """
    try:
        return pq.read_table(path, columns=columns)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def present_rows(settings: Settings, view: "FeatureView") -> Path | None:
    """The file of a registered view's rows; None where none were ever written.

    Raises:
        StoreError: there were rows and the file is gone, it is cut off or cannot be read, or it lacks a column of
            the view's type.
    """
    from feature_repo.sources import rows_path  # feast takes seconds

    path = rows_path(settings, view.name)
    if path.exists():
        _check(path, view)
        return path
    if view.materialization_intervals:
        raise StoreError(f"{path}: missing, though feature view {view.name} had rows; {_REMEDY}")
    return None


def has_rows(settings: Settings, name: str) -> bool:
    """Whether the file of a view's rows is there, not cut off, and of the view as it is defined now."""
    from feature_repo.sources import rows_path
    from feature_repo.views import feature_views

    try:
        _check(rows_path(settings, name), feature_views(settings)[name])
    except StoreError:
        return False
    return True


def _check(path: Path, view: "FeatureView") -> None:
    """Look at the end of a file, where Parquet says what is in it; raises as `present_rows` does."""
    try:
        kept = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    needed = arrow_fields(view.entity_columns) | {schema.EVENT_TIMESTAMP: schema.TIMESTAMP}
    needed |= arrow_fields(view.features)
    if former := [name for name, kind in needed.items() if name not in kept.names or kept.field(name).type != kind]:
        now = ", ".join(f"{name} ({needed[name]})" for name in former)
        raise StoreError(
            f"{path}: rows of feature view {view.name} are of a former definition, without {now}; {_REMEDY}"
        )


@contextmanager
def reading(paths: Iterable[Path]) -> Iterator[None]:
    """Raise `StoreError` where DuckDB finds damage inside of one of the files, which `present_rows` does not see."""
    try:
        yield
    except duckdb.Error as error:
        raise _unreadable(", ".join(map(str, paths)), error) from error


def _unreadable(path: Path | str, error: Exception) -> StoreError:
    return StoreError(f"{path}: rows cannot be read ({' '.join(str(error).split())}); delete it: {_REMEDY}")
