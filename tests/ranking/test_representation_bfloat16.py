"""bfloat16, where the processor has it, and what computes."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from feature_repo.schema import Modality
from feature_repo.settings import Device
from ranking.errors import EncoderError
from ranking.representation import device, torch_run
from ranking.representation.bfloat16 import Bfloat16Encoder
from ranking.representation.device import find_device
from ranking.representation.drift import Drift
from ranking.representation.encoder import Arrays, NetworkEncoder, Rows
from ranking.representation.faster import faster
from ranking.representation.image import ImageEncoder
from ranking.representation.text import TextEncoder
from ranking.representation.whisper import WhisperEncoder, Windows
from ranking.types import Floats


class Scaled(nn.Module):
    """Rows and, in float32 alone exactly, 1/512 more."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class RowEncoder(NetworkEncoder[Floats]):
    modality = Modality.IMAGE
    dim = 4
    batch = 2

    def __init__(self, *, device: str = "cpu") -> None:
        super().__init__("rows", device=device)

    def decode(self, content: bytes) -> Floats:
        return np.frombuffer(content, np.float32)

    def batches(self, batch: Sequence[Floats], size: int) -> Iterator[tuple[Rows, Arrays]]:
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            yield np.arange(start, start + len(part)), {"x": np.stack(part)}

    def plain(self) -> nn.Module:
        return Scaled()


class SlowInHalves(RowEncoder):
    halved = False


def rows(n: int) -> list[Floats]:
    return list(np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32))


def has(monkeypatch: pytest.MonkeyPatch, *, bfloat16: bool) -> None:
    monkeypatch.setattr(torch_run, "has_bfloat16", lambda device="cpu": bfloat16)


def test_vectors_in_bfloat16_are_those_of_float32_but_for_their_last_digits() -> None:
    near = Bfloat16Encoder(RowEncoder())
    vectors = near.encode(rows(5))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, np.stack(rows(5)), rtol=2**-8)
    assert not np.array_equal(vectors, np.stack(rows(5)))


def test_packaged_encoders_hardly_drift() -> None:
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    texts = ["How to bake bread at home.", "A thief in the rain."]
    sounds = [Windows(rng.normal(size=(1, 80, 1000)).astype(np.float32), np.array([300])) for _ in range(2)]
    for encoder, batch in ((ImageEncoder(), pictures), (TextEncoder(), texts), (WhisperEncoder(), sounds)):
        drift = Drift.between(encoder.encode(batch), Bfloat16Encoder(encoder).encode(batch))
        assert drift.min_cosine > 0.99


def test_it_is_taken_where_int8_is_not_to_be_had_and_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    has(monkeypatch, bfloat16=True)
    assert faster(RowEncoder(), rows, tmp_path, least_cosine=0.99).id == "rows-bf16"
    assert faster(RowEncoder(), lambda n: pytest.fail("measured again"), tmp_path, least_cosine=0.99).id == "rows-bf16"
    assert faster(SlowInHalves(), rows, tmp_path, least_cosine=0.99).id == "rows"
    has(monkeypatch, bfloat16=False)
    assert faster(RowEncoder(), rows, tmp_path, least_cosine=0.99).id == "rows"


def test_it_is_refused_where_it_drifts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    has(monkeypatch, bfloat16=True)
    with caplog.at_level(logging.WARNING):
        assert faster(RowEncoder(), rows, tmp_path, least_cosine=0.9999999).id == "rows"
    assert "rows in bfloat16 is refused: mean cosine" in caplog.text


def test_a_processor_is_asked_what_it_can_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, answer in (({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx2": True}, False)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert torch_run.has_bfloat16() is answer


def test_a_gpu_computes_in_float32(tmp_path: Path) -> None:
    encoder = RowEncoder(device="cuda")
    assert faster(encoder, lambda n: pytest.fail("asked for examples"), tmp_path, least_cosine=0) is encoder


@pytest.mark.parametrize("torch_version", ["2.13.0", "2.13.0+cpu"])
def test_a_gpu_that_is_not_there_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch, torch_version: str) -> None:
    monkeypatch.setattr(device, "version", lambda name: torch_version)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device(Device.AUTO) == find_device(Device.CPU) == "cpu"
    with pytest.raises(EncoderError, match=r"encoders.device 'cuda': .*GPU.*accepted: auto, cpu, cuda; set device ="):
        find_device(Device.CUDA)


def test_a_gpu_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "version", lambda name: "2.13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device(Device.AUTO) == find_device(Device.CUDA) == "cuda"
    assert find_device(Device.CPU) == "cpu"
