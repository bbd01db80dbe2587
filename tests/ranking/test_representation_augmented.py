"""Views of content: the same each time, smaller than the whole, kept beside the plain vectors."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from feature_repo import schema
from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation.augmented import Augmented, cropped_picture, cropped_sound, without_a_span
from ranking.representation.embed import embed
from ranking.representation.embedding_store import EmbeddingStore
from ranking.representation.encoder import Encoder
from ranking.representation.image import ImageEncoder
from ranking.types import Floats


class Lengths(Encoder[int]):
    """A text's vector is how many words it has."""

    modality = Modality.TEXT
    id = "lengths"
    dim = 1

    def decode(self, content: bytes) -> int:
        return len(content.split())

    def encode(self, batch: Sequence[int]) -> Floats:
        return np.array(batch, np.float32)[:, None]


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), max_size=40), st.integers(0, 5))
def test_a_text_loses_one_span_of_words(words: list[str], seed: int) -> None:
    content = " ".join(words).encode()
    words = content.decode().split()
    left = without_a_span(content, draw(seed)).decode().split()
    if len(words) < 4:
        assert left == words
        return
    assert 0.5 * len(words) <= len(left) < len(words)
    gap = len(words) - len(left)
    assert any(left == words[:start] + words[start + gap :] for start in range(len(left) + 1))


def test_a_picture_loses_its_edges_and_may_be_mirrored() -> None:
    across = np.linspace(0, 255, 80).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.stack([np.tile(across, (60, 1))] * 3, axis=2)).save(file, "PNG")
    falling = 0
    for seed in range(20):
        with Image.open(io.BytesIO(cropped_picture(file.getvalue(), draw(seed)))) as picture:
            width, height = picture.size
            assert 0.49 <= width * height / (80 * 60) <= 1.01
            assert width / height == pytest.approx(80 / 60, rel=0.05)
            row = np.asarray(picture)[0, :, 0].astype(int)
        assert set(row) <= set(across)  # nothing is drawn anew
        falling += row[-1] < row[0]
    assert 3 < falling < 17


def test_a_sound_loses_its_ends() -> None:
    signal = np.linspace(-0.5, 0.5, 8000, dtype=np.float32)
    file = io.BytesIO()
    soundfile.write(file, signal, 8000, format="WAV", subtype="FLOAT")
    part, rate = soundfile.read(io.BytesIO(cropped_sound(file.getvalue(), draw())), dtype="float32")
    assert rate == 8000
    assert 0.5 * len(signal) <= len(part) <= 0.9 * len(signal)
    start = int(np.argmin(np.abs(signal - part[0])))
    np.testing.assert_array_equal(part, signal[start : start + len(part)])


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"RIFF\x00\x00\x00\x00WAVE", b"no media at all"])
def test_what_cannot_be_read_is_left_to_the_encoder(content: bytes) -> None:
    assert cropped_picture(content, draw()) == content
    assert cropped_sound(content, draw()) == content
    with pytest.raises(UnreadableContentError):
        Augmented(ImageEncoder(), 1).decode(content)


def test_a_view_is_kept_beside_the_plain_vectors_and_is_the_same_each_time(tmp_path: Path) -> None:
    rows = [{"item_id": f"i{row}", "title": "one two three four five six seven eight nine"} for row in range(3)]
    items = pa.Table.from_pylist(rows, schema.ITEMS)
    store = EmbeddingStore(tmp_path)

    def lengths(encoder: Encoder[int]) -> tuple[list[list[float]], int]:
        run = embed(items, encoder, store, media_root=tmp_path, rejected=Rejected())
        return run.table["vector"].to_pylist(), run.encoded

    plain, _ = lengths(Lengths())
    first, encoded = lengths(Augmented(Lengths(), 1))
    assert encoded == 1  # one content
    assert plain == [[9.0]] * 3
    assert all(one < 9 for (one,) in first)
    assert lengths(Augmented(Lengths(), 1)) == (first, 0)
    assert lengths(Lengths()) == (plain, 0)
