"""Vectors of a small catalogue, through the assets that make them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from feature_repo.schema import Modality
from feature_repo.settings import Device, Encoders, Settings
from pipelines.assets.data import items
from pipelines.assets.embeddings import audio_embeddings, image_embeddings, text_embeddings
from pipelines.assets.release import encoders_of
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.errors import EncoderError
from ranking.representation.audio import AudioEncoder
from ranking.representation.whisper import WhisperEncoder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two sounds, a truncated one, silence, and an item with nothing at all."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "dataset.toml").write_text('name = "shop"\n[kinds.click]\nweight = 1.0\npositive = true\n')
    names = {"low": "low.wav", "high": "high.wav", "cut": "cut.flac", "still": "still.wav", "bare": ""}
    (folder / "items.csv").write_text("item_id,audio\n" + "".join(f"{one},{name}\n" for one, name in names.items()))
    (folder / "events.csv").write_text("user_id,item_id,kind,occurred_at\nu,low,click,2025-01-01T00:00:00Z\n")
    at = np.arange(16_000) / 16_000
    for name, frequency in (("low.wav", 110), ("high.wav", 1_760), ("cut.flac", 440)):
        soundfile.write(folder / name, 0.2 * np.sin(2 * np.pi * frequency * at), 16_000)
    soundfile.write(folder / "still.wav", 0 * at, 16_000)
    (folder / "cut.flac").write_bytes((folder / "cut.flac").read_bytes()[:2_000])
    return folder


def workspace(home: Path, dataset: Path, **chosen: object) -> Workspace:
    one = Workspace(Settings(home=home, encoders=Encoders(**chosen)), dataset=str(dataset))
    one.home.prepare()
    items(workspace=one)
    return one


def facts(one: Workspace) -> Facts:
    stamp = one.home.stamp("audio_embeddings")
    assert stamp is not None
    return stamp.facts


def test_bad_sounds_are_counted_and_the_rest_goes_on(tmp_path: Path, dataset: Path) -> None:
    one = workspace(tmp_path / "home", dataset)
    audio_embeddings(workspace=one)
    assert one.home.read("audio_embeddings")["item_id"].to_pylist() == ["low", "high"]
    assert facts(one) == {
        "encoded": 2,
        "reused_vectors": 0,
        "missing": 3,
        "rejected": {"items.silent_audio": 1, "items.unreadable_audio": 1},
    }
    text_embeddings(workspace=one)
    image_embeddings(workspace=one)
    assert len(one.home.read("text_embeddings")) == len(one.home.read("image_embeddings")) == 0


def test_a_new_encoder_is_filled_beside_the_old_one_and_the_next_release_names_it(
    tmp_path: Path, dataset: Path
) -> None:
    def run(**chosen: object) -> Workspace:
        one = workspace(tmp_path / "home", dataset, **chosen)
        for asset in (text_embeddings, image_embeddings, audio_embeddings):
            asset(workspace=one)
        return one

    old = run()
    assert encoders_of(old) == {Modality.AUDIO: AudioEncoder().id}
    new = run(audio="whisper-tiny")
    assert encoders_of(new) == {Modality.AUDIO: WhisperEncoder().id}
    assert facts(new)["encoded"] == 2
    store = new.settings.lake / "embeddings" / "audio"
    assert {folder.name for folder in store.iterdir() if folder.is_dir()} == {AudioEncoder().id, WhisperEncoder().id}
    back = run()
    assert (facts(back)["encoded"], facts(back)["reused_vectors"]) == (0, 2)


def test_a_gpu_that_is_not_there_stops_before_anything_is_made(
    tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    one = workspace(tmp_path / "home", dataset, device=Device.CUDA)
    with pytest.raises(EncoderError, match=r"encoders.device 'cuda'"):
        audio_embeddings(workspace=one)
    assert one.home.stamp("audio_embeddings") is None
