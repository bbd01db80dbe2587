from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from feature_repo import compute, schema
from feature_repo.settings import Settings, load_settings
from feature_repo.sources import rows_path
from pipelines.alignment_tuning import write_config
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.embedding_store import embedding_table


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


def test_content_of_views_lies_beside_the_plain_content(tmp_path: Path) -> None:
    workspace = Workspace(Settings(home=tmp_path))
    workspace.home.prepare()
    items = pa.Table.from_pylist([{"item_id": "a", "categories": []}], schema.ITEMS)
    workspace.build("items", lambda folder: workspace.home.write(folder, items) or {})
    for modality in schema.Modality:

        def make(folder: Path, modality: schema.Modality = modality) -> Facts:
            for name, value in (("table", 1.0), ("view1", 2.0)):
                table = embedding_table(
                    ["a"], ["h"], np.full((1, 2), value, np.float32), modality=modality, encoder_id="e"
                )
                pq.write_table(table, folder / f"{name}.parquet")
            return {}

        workspace.build(f"{modality}_embeddings", make)
    assert workspace.content_views() == []
    write_config(tmp_path, AlignmentConfig(views=1))
    (view,) = Workspace(Settings(home=tmp_path)).content_views()
    assert view.vectors[schema.Modality.TEXT].tolist() == [[2.0, 2.0]]
    assert workspace.content.vectors[schema.Modality.TEXT].tolist() == [[1.0, 1.0]]


def test_a_sequential_model_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not load_settings().models.sequential
    monkeypatch.setenv("TRICHORD_MODELS_SEQUENTIAL", "1")
    assert load_settings().models.sequential
    monkeypatch.delenv("TRICHORD_MODELS_SEQUENTIAL")
    Path("trichord.toml").write_text("[models]\nsequential = true\n")
    assert load_settings().models.sequential
