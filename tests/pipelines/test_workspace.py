from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import compute, schema
from feature_repo.settings import Settings
from feature_repo.sources import rows_path
from pipelines.home import Facts
from pipelines.workspace import Workspace


@pytest.mark.parametrize("damage", ["none", "missing", "cut off", "of another definition"])
def test_a_view_is_built_again_where_its_rows_are_not_there_whole(tmp_path: Path, damage: str) -> None:
    item = {"item_id": "a", "categories": ["x"], "created_at": datetime(2024, 1, 1, tzinfo=UTC)}
    items = pa.Table.from_pylist([item], schema.ITEMS)
    workspace = Workspace(Settings(home=tmp_path))

    def make(folder: Path) -> Facts:
        workspace.store.write_view("item_content", compute.content_rows(items))
        return {"rows": 1}

    workspace.home.prepare()
    assert not workspace.build_view("item_content", make, inputs=[]).reused
    rows = workspace.store.read_view("item_content")
    file = rows_path(workspace.settings, "item_content")
    if damage == "missing":
        file.unlink()
    elif damage == "cut off":
        file.write_bytes(file.read_bytes()[:500])
    elif damage == "of another definition":
        pq.write_table(rows.drop_columns("has_text"), file)
    assert workspace.build_view("item_content", make, inputs=[]).reused == (damage == "none")
    again = workspace.store.read_view("item_content")
    assert again.drop_columns("created_timestamp") == rows.drop_columns("created_timestamp")
