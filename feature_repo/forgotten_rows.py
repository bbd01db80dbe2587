"""Rows of some users out of a Parquet file, which is replaced whole."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.durable import replacing


def drop_rows(path: Path, users: Collection[str], *, erase: bool = True) -> int:
    """Erase the rows that name users, or only count them; 0 for a file that has no column of users.

    The other rows stay in their order, in groups as large as before.
    """
    with pq.ParquetFile(path) as file:
        if schema.USER_ID not in file.schema_arrow.names:
            return 0
        named = pc.is_in(file.read([schema.USER_ID])[schema.USER_ID], pa.array(users, pa.string()))
        found: int = pc.sum(named).as_py() or 0
        if not found or not erase:
            return found
        rows, group = file.read().filter(pc.invert(named)), file.metadata.row_group(0).num_rows
    with replacing(path) as fresh:
        pq.write_table(rows, fresh, compression="zstd", row_group_size=group)
    return found
