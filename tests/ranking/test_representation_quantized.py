import io
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, ImageDraw
from torch import nn

from ranking.errors import EncoderError
from ranking.representation import quantized, torch_run
from ranking.representation.audio import AudioEncoder, Patches
from ranking.representation.encoder import Encoder
from ranking.representation.faster import faster
from ranking.representation.image import ImageEncoder, Picture
from ranking.representation.quantized import QuantizedEncoder
from ranking.representation.text import TextEncoder

WORDS = ("detective", "thief", "rain", "neon", "bread", "bakes", "in", "old", "kitchens", "while", "clever", "the")


def texts(n: int) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, rng.integers(3, 60))) for _ in range(n)]


def pictures(n: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(n):
        picture = Image.new("RGB", (224, 224), tuple(rng.integers(0, 256, 3).tolist()))
        for _ in range(6):
            x, y, size = rng.integers(0, 160, 3).tolist()
            colour = tuple(rng.integers(0, 256, 3).tolist())
            ImageDraw.Draw(picture).ellipse((x, y, x + size + 5, y + size + 5), fill=colour)
        drawn.append(np.asarray(picture))
    return drawn


def sounds(n: int) -> list[Patches]:
    """Chords of one or two patches, half as many as asked for and some."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(n // 2 + 10):
        at = np.arange(int(rng.uniform(2, 7) * 16_000)) / 16_000
        signal = sum(rng.uniform(0.05, 0.3) * np.sin(2 * np.pi * rng.uniform(80, 3_000) * at) for _ in range(3))
        buffer = io.BytesIO()
        soundfile.write(buffer, signal + rng.normal(0, 0.01, len(at)), 16_000, format="WAV")
        made.append(AudioEncoder().decode(buffer.getvalue()))
    return made


def cosines(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Encoder[str]]:
    folder = tmp_path_factory.mktemp("encoders")
    return folder, faster(TextEncoder(), texts, folder, least_cosine=0.9)


def never(n: int) -> Sequence[str]:
    pytest.fail("the model was made again")


def test_a_text_in_int8_lies_where_it_lies_in_float32(made: tuple[Path, Encoder[str]]) -> None:
    _, encoder = made
    assert isinstance(encoder, QuantizedEncoder)
    new = ["How to bake bread at home.", "A detective hunts a thief in Los Angeles.", "雨 🌧 وغدا", "rain " * 300]
    near = cosines(encoder.encode(new), TextEncoder().encode(new))
    assert near.min() > 0.97
    assert encoder.drift.min_cosine <= encoder.drift.mean_cosine <= 1


def test_a_picture_in_int8_lies_where_it_lies_in_float32(tmp_path: Path) -> None:
    encoder = faster(ImageEncoder(), pictures, tmp_path, least_cosine=0.9)
    assert isinstance(encoder, QuantizedEncoder)
    new = pictures(220)[200:]
    assert cosines(encoder.encode(new), ImageEncoder().encode(new)).mean() > 0.98


def test_a_sound_in_int8_lies_where_it_lies_in_float32(tmp_path: Path) -> None:
    encoder = faster(AudioEncoder(), sounds, tmp_path, least_cosine=0.9)
    assert isinstance(encoder, QuantizedEncoder)
    new = sounds(100)[50:]
    assert cosines(encoder.encode(new), AudioEncoder().encode(new)).min() > 0.98


def test_a_vector_does_not_depend_on_what_is_encoded_beside_it(made: tuple[Path, Encoder[str]]) -> None:
    _, encoder = made
    some = texts(9)
    np.testing.assert_array_equal(encoder.encode(some), np.vstack([encoder.encode([one]) for one in some]))


def test_the_id_tells_the_variant_and_stays_while_the_model_is_kept(made: tuple[Path, Encoder[str]]) -> None:
    folder, encoder = made
    assert encoder.id.startswith(TextEncoder().id + "-int8-")
    assert faster(TextEncoder(), never, folder, least_cosine=0.9).id == encoder.id


def test_a_model_that_drifts_is_refused_and_said_so(
    made: tuple[Path, Encoder[str]], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = made
    monkeypatch.setattr(torch_run, "has_bfloat16", lambda: False)
    with caplog.at_level(logging.WARNING):
        encoder = faster(TextEncoder(), never, folder, least_cosine=0.9999)
    assert encoder.id == TextEncoder().id
    assert "in int8 is refused: mean cosine" in caplog.text
    assert "the limit is 0.9999" in caplog.text


def test_too_few_items_leave_the_reference(tmp_path: Path) -> None:
    assert faster(TextEncoder(), lambda n: texts(5), tmp_path, least_cosine=0.9).id == TextEncoder().id
    assert not any(tmp_path.iterdir())


def test_a_damaged_model_is_named_with_a_remedy(made: tuple[Path, Encoder[str]], tmp_path: Path) -> None:
    folder, _ = made
    (place,) = folder.iterdir()
    copy = tmp_path / place.name
    copy.mkdir()
    (copy / "drift.json").write_bytes((place / "drift.json").read_bytes())
    (copy / "model.onnx").write_bytes((place / "model.onnx").read_bytes()[:-9])
    encoder = faster(TextEncoder(), never, tmp_path, least_cosine=0.9)
    with pytest.raises(EncoderError, match=r"damaged; delete the folder"):
        encoder.encode(["one"])


def test_a_folder_that_cannot_be_written_leaves_the_reference(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    encoder = faster(TextEncoder(), texts, tmp_path / "file", least_cosine=0.9)
    assert encoder.id == TextEncoder().id
    assert "cannot be written" in caplog.text


def at_once(work: Callable[[], object], n: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(n)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def test_two_that_make_the_model_at_once_take_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(network: nn.Module, arrays: object, path: Path, **_: object) -> None:
        path.write_bytes(b"plain")

    def quantize(source: Path, target: Path, calibration: object, **_: object) -> None:
        both.wait()  # nobody finishes before both have begun
        target.write_bytes(str(threading.get_ident()).encode())

    both = threading.Barrier(2)
    monkeypatch.setattr(quantized, "export", export)
    monkeypatch.setattr(quantized, "quantize", quantize)
    monkeypatch.setattr(quantized, "session", lambda path: lambda arrays: np.ones((1, 384), np.float32))
    ids: list[str] = []
    at_once(lambda: ids.append(faster(TextEncoder(), texts, tmp_path, least_cosine=-1).id), 2)
    assert len(ids) == 2
    assert len(set(ids)) == 1
    (place,) = tmp_path.iterdir()  # and nothing half made is left
    drift = json.loads((place / "drift.json").read_text())
    assert ids[0].endswith(drift["sha256"][:8])
