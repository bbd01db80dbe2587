"""The packaged Whisper and the reader of its file."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from feature_repo.settings import Encoders
from ranking.errors import EncoderError
from ranking.representation.audio import AudioEncoder
from ranking.representation.chosen import audio_encoder, image_encoder, text_encoder
from ranking.representation.ctranslate2_file import read_model
from ranking.representation.image import ImageEncoder
from ranking.representation.text import TextEncoder
from ranking.representation.weights import WHISPER_TINY
from ranking.representation.whisper import FRAMES, WhisperEncoder
from ranking.types import Floats

MODEL = WHISPER_TINY.folder() / "model" / "model.bin"
WHISPER = WhisperEncoder()


def sound(frequency: float, seconds: float) -> bytes:
    at = np.arange(max(int(seconds * 16_000), 1)) / 16_000
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.2 * np.cos(2 * np.pi * frequency * at), 16_000, format="WAV")
    return buffer.getvalue()


def encoded(*sounds: bytes) -> Floats:
    return WHISPER.encode([WHISPER.decode(one) for one in sounds])


def test_the_file_holds_the_smallest_english_whisper() -> None:
    tensors = read_model(MODEL)
    assert tensors["encoder/conv1/weight"].shape == (384, 80, 3)
    assert tensors["encoder/position_encodings/encodings"].shape == (1500, 384)
    assert len([name for name in tensors if name.startswith("encoder/layer_") and "ffn/linear_0/weight" in name]) == 4
    at = np.arange(1500)[:, None] * np.exp(-np.log(10_000) * np.arange(192) / 191)  # sinusoids, as the paper has them
    expected = np.concatenate([np.sin(at), np.cos(at)], 1)
    np.testing.assert_allclose(tensors["encoder/position_encodings/encodings"], expected, atol=2e-3)


def test_like_sounds_lie_nearer_than_unlike_ones() -> None:
    hiss = io.BytesIO()
    soundfile.write(hiss, np.random.default_rng(0).normal(0, 0.1, 32_000), 16_000, format="WAV")
    vectors = encoded(sound(220, 2), sound(233, 2), hiss.getvalue())
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > similarity[0, 2] + 0.03


def test_a_sound_has_the_same_vector_alone_and_in_a_batch() -> None:
    sounds = [sound(220, 0), sound(330, 25), sound(440, 2)]  # the first has a single sample
    assert [len(WHISPER.decode(one).heard) for one in sounds] == [1, 2, 1]
    np.testing.assert_allclose(encoded(*sounds), np.vstack([encoded(one) for one in sounds]), atol=1e-5)


def test_what_fills_up_a_window_is_not_heard() -> None:
    decoded = WHISPER.decode(sound(220, 4))
    assert decoded.heard.tolist() == [FRAMES * 4 // 10]
    network = WHISPER.load()
    with torch.inference_mode():
        hidden = network.encoder(torch.from_numpy(decoded.mels)).last_hidden_state[0, : FRAMES * 4 // 10]
    expected = (hidden.mean(0) / hidden.mean(0).norm()).numpy()
    np.testing.assert_allclose(WHISPER.encode([decoded])[0], expected, atol=1e-5)


@pytest.mark.parametrize("cut", [0, 3, 40, 5_000, -1_000_000])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: int) -> None:
    (tmp_path / "model.bin").write_bytes(MODEL.read_bytes()[:cut])
    with pytest.raises(EncoderError, match="not a readable CTranslate2 model"):
        read_model(tmp_path / "model.bin")


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(struct.pack("<I", 9) + MODEL.read_bytes()[4:100])
    with pytest.raises(EncoderError, match="version 9; accepted: 6"):
        read_model(tmp_path / "model.bin")


def test_settings_choose_the_packaged_encoders() -> None:
    assert isinstance(text_encoder(Encoders()), TextEncoder)
    assert isinstance(image_encoder(Encoders()), ImageEncoder)
    assert isinstance(audio_encoder(Encoders()), AudioEncoder)
    assert isinstance(audio_encoder(Encoders(audio="whisper-tiny")), WhisperEncoder)
