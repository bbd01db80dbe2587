"""A folder of one's own whose items have videos, from its tables to vectors."""

import json

import av
import dagster as dg
import numpy as np
import pytest

from feature_repo.settings import Settings
from pipelines.assets.data import items
from pipelines.assets.embeddings import audio_embeddings, image_embeddings
from pipelines.checks import CHECKS
from pipelines.workspace import Workspace

TOML = 'name = "clips"\n[kinds.like]\n'
ITEMS = """item_id,title,image,audio,video
clip,A clip,,,media/clip.mp4
silent,A silent clip,,,media/silent.mp4
torn,A torn clip,,,media/torn.mp4
poster,With a picture,media/poster.png,,media/clip.mp4
away,Elsewhere,,,https://example.org/clip.mp4
bare,,,,media/clip.mp4
text,Words alone,,,
"""
EVENTS = "user_id,item_id,kind,occurred_at\nada,clip,like,2025-03-01T09:00:00Z\n"


def write_clip(path, *, sound):
    rate = 16_000
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        track = out.add_stream("aac", rate=rate, layout="mono") if sound else None
        for number in range(40):
            picture = np.full((48, 64, 3), (220, 20, 20) if number < 20 else (20, 20, 220), np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
        if track:
            wave = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate)).astype(np.float32)
            samples = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            samples.sample_rate = rate
            out.mux([*track.encode(samples), *track.encode()])


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    (folder / "media").mkdir(parents=True)
    for name, text in {"dataset.toml": TOML, "items.csv": ITEMS, "events.csv": EVENTS}.items():
        (folder / name).write_text(text)
    write_clip(folder / "media" / "clip.mp4", sound=True)
    write_clip(folder / "media" / "silent.mp4", sound=False)
    (folder / "media" / "torn.mp4").write_bytes((folder / "media" / "clip.mp4").read_bytes()[:1500])
    from PIL import Image

    Image.new("RGB", (64, 48), (20, 200, 20)).save(folder / "media" / "poster.png")
    return folder


def build(folder, home):
    workspace = Workspace(Settings(home=home), dataset=str(folder))
    workspace.home.prepare()
    assets = [items, image_embeddings, audio_embeddings]
    keys = {asset.key for asset in assets}
    checks = [one for one in CHECKS if {spec.asset_key for spec in one.check_specs} <= keys]
    done = dg.materialize([*assets, *checks], resources={"workspace": workspace}, raise_on_error=False)
    suites = {one.asset_key.to_user_string(): one.passed for one in done.get_asset_check_evaluations()}
    return workspace.home, suites


def rejections(home, artifact):
    document = json.loads((home.folder(artifact) / "rejected.json").read_text())
    return {(row, reason) for _, reason, row, _ in document["examples"]}


def test_videos_of_a_folder_become_vectors_and_bad_ones_are_named(clips, tmp_path):
    home, suites = build(clips, tmp_path / "home")
    assert home.read("items")["video"].null_count == 2
    assert rejections(home, "items") == {("away", "media_uri")}
    assert home.read("image_embeddings")["item_id"].to_pylist() == ["clip", "silent", "poster", "bare"]
    assert home.read("audio_embeddings")["item_id"].to_pylist() == ["clip", "poster", "bare"]
    assert rejections(home, "image_embeddings") == {("torn", "unreadable_video")}
    assert rejections(home, "audio_embeddings") == {("torn", "unreadable_video"), ("silent", "silent_video")}
    facts = home.stamp("image_embeddings").facts
    assert (facts["encoded"], facts["missing"]) == (3, 3)
    # one of five pictures is torn, more than the suite lets pass; silent videos are no fault
    assert suites == {"items": True, "image_embeddings": False, "audio_embeddings": True}


def test_an_item_more_encodes_no_known_video_again(clips, tmp_path):
    build(clips, tmp_path / "home")
    (clips / "media" / "new.mp4").write_bytes((clips / "media" / "silent.mp4").read_bytes())
    (clips / "items.csv").write_text(ITEMS + "new,The same film elsewhere,,,media/new.mp4\n")
    home, _ = build(clips, tmp_path / "home")
    assert "new" in home.read("image_embeddings")["item_id"].to_pylist()
    assert home.stamp("image_embeddings").facts["encoded"] == 0
