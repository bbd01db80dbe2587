"""What a release remembers of its vectors, and what the next run is told about drift."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.schema import Modality
from feature_repo.settings import Settings
from pipelines import checks, profiles
from pipelines.workspace import Workspace
from ranking.representation.embedding_store import embedding_table
from ranking.serving.releases import Manifest, Releases

N, DIM = 300, 12


def write_embeddings(workspace: Workspace, *, encoder: str = "encoder-1", shift: float = 0) -> None:
    for modality in Modality:
        count = N if modality is Modality.TEXT else 0
        vectors = (np.random.default_rng(0).normal(size=(count, DIM)) + shift).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        ids = [f"i{row}" for row in range(count)]
        folder = workspace.home.folder(f"{modality}_embeddings")
        folder.mkdir(parents=True, exist_ok=True)
        workspace.home.write(folder, embedding_table(ids, ids, vectors, modality=modality, encoder_id=encoder))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(Settings(home=tmp_path / "home"))
    write_embeddings(made)
    return made


def publish(workspace: Workspace, *, remember: bool = True) -> None:
    aligned = np.random.default_rng(1).normal(size=(N, DIM)).astype(np.float32)
    aligned[:7] = 0  # items without content

    def make(place: Path) -> Manifest:
        if remember:
            profiles.save_profiles(workspace, aligned, place)
        return Manifest.model_validate(
            {
                **{"id": "r1", "created_at": datetime(2026, 1, 1, tzinfo=UTC), "dataset": "d", "kinds": ()},
                **{"data_until": datetime(2026, 1, 1, tzinfo=UTC), "service": "s", "services": ("s",)},
                **{"encoders": {}, "seeds": (0,), "metrics": {}, "suites": {}, "versions": {}, "config": {}},
            }
        )

    releases = Releases.of(workspace.settings)
    releases.publish("r1", make)
    releases.promote("r1")


def before(workspace: Workspace, table: str = "text_embeddings", made_by: str = "encoder-1", count: int = N):
    return profiles.profile_before(workspace, table, dimension=DIM, made_by=made_by, count=count)


def test_before_the_first_release_there_is_nothing_to_compare_with_and_that_is_said(workspace):
    assert before(workspace) == (None, "drift: not checked, as there is no release yet to compare with")


def test_a_release_remembers_the_vectors_of_every_table_that_has_some(workspace):
    publish(workspace)
    profile, note = before(workspace)
    assert note == "drift: against release r1"
    assert profile is not None
    assert profile.values.shape == (N, 16)
    aligned, _ = before(workspace, profiles.ALIGNED, profiles.alignment_id(workspace))
    assert aligned is not None
    assert len(aligned.values) == N - 7
    nothing, note = before(workspace, "image_embeddings")
    assert (nothing, note) == (None, "drift: not checked, as release r1 remembers no vectors of image_embeddings")


def test_embeddings_that_drifted_from_the_release_fail_their_suite(workspace):
    publish(workspace)
    folder = workspace.home.folder("items")
    folder.mkdir(parents=True)
    nothing = pa.nulls(N, pa.list_(pa.string()))
    columns = {"item_id": [f"i{row}" for row in range(N)], "title": ["t"] * N, "description": ["d"] * N}
    workspace.home.write(folder, pa.table({**columns, "categories": nothing, "image": nothing, "audio": nothing}))
    write_embeddings(workspace)
    assert workspace.validated("text_embeddings", *checks._embeddings(Modality.TEXT, workspace)).passed
    write_embeddings(workspace, shift=2)
    report = workspace.validated("text_embeddings", *checks._embeddings(Modality.TEXT, workspace))
    psi, ks = report.failed()
    assert "drift_psi" in psi and "drift_ks" in ks
    assert report.notes == ("drift: against release r1",)


def test_another_encoder_is_not_compared_and_that_is_said(workspace):
    publish(workspace)
    nothing, note = before(workspace, made_by="encoder-2")
    assert nothing is None
    assert note.startswith("drift against release r1: not checked: made by encoder-2 (12 numbers)")


def test_another_encoder_makes_another_aligned_space(workspace):
    first = profiles.alignment_id(workspace)
    assert profiles.alignment_id(workspace) == first
    write_embeddings(workspace, encoder="encoder-2")
    assert profiles.alignment_id(workspace) != first


def test_a_release_of_before_the_profiles_were_kept_is_no_obstacle(workspace):
    publish(workspace, remember=False)
    nothing, note = before(workspace)
    assert (nothing, note) == (None, "drift: not checked, as release r1 remembers no vectors of text_embeddings")
