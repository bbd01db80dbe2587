"""The Parquet files of the views' rows of all times: replaced whole, and looked at before they are read."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.errors import StoreError
from feature_repo.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureView

_REMEDY: Final = "`trichord run` writes it again; what is online stays"


def write_rows(path: Path, rows: pa.Table) -> Path:
    """Put rows in the place of what was there.

    Raises:
        StoreError: they cannot be written; what was there stays.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, partial)
        return partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"{path}: rows cannot be written ({error}); those of before stay; make room, or choose a home that this "
            "user may write to, and write them again"
        ) from error


def read_rows(path: Path) -> pa.Table:
    """All rows of a file.

    Raises:
        StoreError: it is damaged or cannot be read.
    """
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: rows cannot be read ({error}); {_REMEDY}") from error


def present_rows(settings: Settings, view: "FeatureView") -> Path | None:
    """The file of a registered view's rows; None where none were ever written.

    Raises:
        StoreError: there were rows and the file is gone, it is cut off or cannot be read, or it lacks a column.
    """
    from feature_repo.sources import rows_path  # feast takes seconds

    path = rows_path(settings, view.name)
    if not path.exists():
        if not view.materialization_intervals:
            return None
        raise StoreError(f"{path}: missing, though feature view {view.name} had rows; {_REMEDY}")
    try:
        columns = pq.read_schema(path).names
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: rows of feature view {view.name} cannot be read ({error}); {_REMEDY}") from error
    needed = [*view.join_keys, schema.EVENT_TIMESTAMP, *(field.name for field in view.features)]
    if absent := [name for name in needed if name not in columns]:
        raise StoreError(
            f"{path}: rows of feature view {view.name} lack {', '.join(absent)}: they are of a former definition; "
            f"{_REMEDY}"
        )
    return path
