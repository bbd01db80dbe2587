import io
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from feature_repo import compute, schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from ranking.representation import video_frames
from ranking.representation.audio import AudioEncoder
from ranking.representation.embed import embed
from ranking.representation.embed_items import embed_items
from ranking.representation.embedding_store import EmbeddingStore, vectors_of
from ranking.representation.encoder import Encoder
from ranking.representation.image import ImageEncoder
from ranking.representation.sources import content_hash
from ranking.representation.video_encoder import FrameEncoder, SoundTrackEncoder

RATE = 16_000
RED, BLUE = (200, 30, 30), (30, 30, 200)
SINE = (0.5 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE)).astype(np.float32)


def film(*colours, sound=None):
    """A lossless video, ten frames of each colour."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as out:
        stream = out.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        if sound is not None:
            track = out.add_stream("pcm_f32le", rate=RATE)
            track.layout = "mono"
            samples = av.AudioFrame.from_ndarray(sound[None], format="flt", layout="mono")
            samples.sample_rate = RATE
            out.mux([*track.encode(samples), *track.encode()])
        for colour in colours:
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), colour, np.uint8), format="rgb24")
                out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return file.getvalue()


def picture(colour):
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


class MeanColour(Encoder[np.ndarray]):
    """The mean colour of a picture."""

    modality: ClassVar = Modality.IMAGE
    id: ClassVar = "mean-colour"
    dim: ClassVar = 3

    def decode(self, content):
        return np.asarray(Image.open(io.BytesIO(content)), np.float32)

    def encode(self, batch):
        return np.stack([one.mean((0, 1)) for one in batch])


class World:
    """A media folder and a store."""

    def __init__(self, folder: Path) -> None:
        self.media, self.store = folder / "media", EmbeddingStore(folder / "store")
        self.media.mkdir()

    def run(self, *rows, encoder=None):
        items = pa.Table.from_pylist([{"categories": [], **row} for row in rows], schema.ITEMS)
        self.rejected = Rejected()
        return embed_items(items, encoder or MeanColour(), self.store, media_root=self.media, rejected=self.rejected)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    files = {"red.mkv": film(RED), "both.mkv": film(RED, BLUE), "blue.png": picture(BLUE), "torn.mkv": film(RED)[:200]}
    for name, content in files.items():
        (world.media / name).write_bytes(content)
    return world


def vectors(run):
    return dict(zip(run.table["item_id"].to_pylist(), vectors_of(run.table), strict=True))


def test_a_still_video_has_the_vector_of_its_picture():
    still, shown = FrameEncoder(ImageEncoder()).decode(film(RED)), ImageEncoder()
    (expected,) = shown.encode([shown.decode(picture(RED))])
    np.testing.assert_allclose(still, expected, atol=1e-4)


def test_a_sound_track_has_the_vector_of_its_sound():
    file = io.BytesIO()
    soundfile.write(file, SINE, RATE, format="WAV", subtype="FLOAT")
    sounds = AudioEncoder()
    (expected,) = sounds.encode([sounds.decode(file.getvalue())])
    heard = SoundTrackEncoder(sounds).decode(film(RED, sound=SINE))
    np.testing.assert_allclose(heard, expected, atol=1e-4)


def test_frames_are_averaged_by_direction_at_their_mean_length():
    vector = FrameEncoder(MeanColour()).decode(film(RED, BLUE))
    colours = [frame.picture.mean((0, 1)) for frame in video_frames.read_frames(film(RED, BLUE))]
    directions = np.mean([one / np.linalg.norm(one) for one in colours], axis=0)
    np.testing.assert_allclose(vector / np.linalg.norm(vector), directions / np.linalg.norm(directions), atol=1e-5)
    assert np.linalg.norm(vector) == pytest.approx(np.mean([np.linalg.norm(one) for one in colours]), rel=1e-5)


def test_a_picture_of_its_own_goes_before_the_video(world):
    run = world.run(
        {"item_id": "film", "video": "red.mkv"},
        {"item_id": "both", "image": "blue.png", "video": "red.mkv"},
        {"item_id": "none"},
        {"item_id": "picture", "image": "blue.png"},
    )
    found = vectors(run)
    assert list(found) == ["film", "both", "picture"]  # in the items' order
    np.testing.assert_allclose([found["film"], found["both"], found["picture"]], [RED, BLUE, BLUE], atol=1.5)
    assert (run.encoded, run.reused, run.missing) == (2, 1, 1)
    assert set(run.table["encoder_id"].to_pylist()) == {"mean-colour"}


def test_a_video_is_encoded_once_and_again_when_it_or_the_way_changes(world, monkeypatch):
    row = {"item_id": "film", "video": "red.mkv"}
    assert world.run(row, row | {"item_id": "same"}).encoded == 1
    assert world.run(row).encoded == 0
    (world.media / "red.mkv").write_bytes(film(BLUE))
    run = world.run(row)
    assert run.encoded == 1
    np.testing.assert_allclose(vectors(run)["film"], BLUE, atol=1.5)
    monkeypatch.setattr(FrameEncoder, "taken", "another way")
    assert world.run(row).encoded == 1


def test_the_hash_of_a_video_is_not_that_of_its_bytes(world):
    run = world.run({"item_id": "film", "video": "red.mkv"})
    assert run.table["content_hash"].to_pylist() != [content_hash((world.media / "red.mkv").read_bytes())]


def test_bad_videos_are_named_and_counted_and_the_others_go_on(world):
    (world.media / "empty.mkv").touch()
    run = world.run(
        {"item_id": "torn", "video": "torn.mkv"},
        {"item_id": "empty", "video": "empty.mkv"},
        {"item_id": "absent", "video": "absent.mkv"},
        {"item_id": "good", "video": "red.mkv"},
    )
    assert list(vectors(run)) == ["good"]
    assert run.missing == 3
    assert {(row, reason) for _, reason, row, _ in world.rejected.examples} == {
        ("torn", "unreadable_video"),
        ("empty", "unreadable_video"),
        ("absent", "missing_media"),
    }
    assert len(world.rejected) == 3


def test_a_silent_video_has_frames_and_no_sound(world):
    class Loudness(MeanColour):
        modality: ClassVar = Modality.AUDIO

        def decode(self, content):
            return soundfile.read(io.BytesIO(content))[0]

        def encode(self, batch):
            return np.stack([np.full(3, np.abs(one).mean(), np.float32) for one in batch])

    (world.media / "loud.mkv").write_bytes(film(RED, sound=SINE))
    run = world.run(
        {"item_id": "silent", "video": "red.mkv"}, {"item_id": "loud", "video": "loud.mkv"}, encoder=Loudness()
    )
    np.testing.assert_allclose(vectors(run)["loud"], np.abs(SINE).mean(), rtol=1e-3)
    assert dict(world.rejected.counts) == {("items", "silent_video"): 1}
    assert world.rejected.examples[0][2] == "silent"


def test_without_videos_it_is_embed_itself(world):
    run = world.run({"item_id": "picture", "image": "blue.png"})
    items = pa.Table.from_pylist([{"item_id": "picture", "categories": [], "image": "blue.png"}], schema.ITEMS)
    alone = embed(items, MeanColour(), world.store, media_root=world.media, rejected=Rejected())
    assert run.table.equals(alone.table)


def test_a_video_counts_as_picture_and_sound():
    rows = [{"item_id": "v", "video": "v.mp4"}, {"item_id": "t", "title": "T"}, {"item_id": "a", "audio": "a.wav"}]
    items = pa.Table.from_pylist([{"categories": [], **row} for row in rows], schema.ITEMS)
    content = compute.content_rows(items).sort_by("item_id").to_pylist()
    assert [(row["item_id"], row["has_text"], row["has_image"], row["has_audio"]) for row in content] == [
        ("a", False, False, True),
        ("t", True, False, False),
        ("v", False, True, True),
    ]
