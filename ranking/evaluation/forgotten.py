"""Users out of the warehouse, which is written anew: DuckDB keeps the bytes of rows that were deleted."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import duckdb

from feature_repo import schema
from feature_repo.durable import sync_folder
from ranking.errors import ArtifactError

_NAMED: Final = f"{schema.USER_ID} in (from unnest($users))"


def forget_in_warehouse(path: Path, users: Collection[str], *, erase: bool = True) -> dict[str, int]:
    """Erase users' rows of all tables that name them, or only count them; how many by table.

    What was measured over all users stays. Raises `ArtifactError` where another process holds the file.
    """
    if not path.exists():
        return {}
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    try:
        with duckdb.connect(path, read_only=not erase, config={"threads": 2}) as db:
            db.execute("set enable_progress_bar = false")
            found = {table: _count(db, table, users) for table in _tables(db)}
            if erase:
                for table in found:
                    db.execute(f'delete from "{table}" where {_NAMED}', {"users": [*users]})
                _copy(db, fresh)
    except duckdb.IOException as error:
        raise ArtifactError(f"{path}: cannot be written now ({error}); wait for what uses it, and repeat") from error
    if erase:
        fresh.replace(path)
        sync_folder(path.parent)
    return {table: rows for table, rows in found.items() if rows}


def _copy(db: duckdb.DuckDBPyConnection, fresh: Path) -> None:
    (name,) = db.execute("select current_database()").fetchone() or ("",)
    db.execute("attach $fresh as fresh", {"fresh": str(fresh)})
    db.execute(f'copy from database "{name}" to fresh')
    db.execute("detach fresh")


def _tables(db: duckdb.DuckDBPyConnection) -> list[str]:
    named = db.execute(
        "select table_name from duckdb_columns() join duckdb_tables() using (table_name) where column_name = $name",
        {"name": schema.USER_ID},
    )
    return sorted(table for (table,) in named.fetchall())


def _count(db: duckdb.DuckDBPyConnection, table: str, users: Collection[str]) -> int:
    (rows,) = db.execute(f'select count(*) from "{table}" where {_NAMED}', {"users": [*users]}).fetchone() or (0,)
    return int(rows)
