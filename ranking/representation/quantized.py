"""Encoders three to four times as fast: the same network in 8-bit integers, if it gives nearly the same vectors.

The quantized model is made once, from the packaged weights and some of the items' own content, and kept:

    <folder>/<encoder id>-onnxruntime-<version>/model.onnx, drift.json

It appears there whole or not at all, so that two processes may make it at once: the second to finish takes the first's.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import uuid4

from ranking.errors import EncoderError
from ranking.representation.drift import Drift
from ranking.representation.encoder import Arrays, Decoded, Encoder, NetworkEncoder, OnnxForm, Run
from ranking.representation.onnx_model import export, quantize, session
from ranking.types import Floats

CALIBRATION: Final = 64  # items that ranges of activations are measured on
COMPARED: Final = 128  # other items that the drift is measured on
MODEL: Final = "model.onnx"


class QuantizedEncoder(Encoder[Decoded]):
    """A reference encoder with its network in 8-bit integers; the id names the very model, whose ranges were measured.

    Raises `EncoderError` at the first `encode` if the model's file is not the one whose drift was measured.
    """

    def __init__(self, reference: NetworkEncoder[Decoded], folder: Path, drift: Drift) -> None:
        self.reference = reference
        self.drift = drift
        self.modality, self.dim, self.held = reference.modality, reference.dim, reference.held
        self.in_torch = reference.decodes_in_torch
        self.id = f"{reference.id}-int8-{drift.sha256[:8]}"
        self._folder = folder

    def decode(self, content: bytes) -> Decoded:
        """As the reference does."""
        return self.reference.decode(content)

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors on the calling thread alone."""
        return self.reference.encode_by(self._run, batch, _form(self.reference).batch)

    @cached_property
    def _run(self) -> Run:
        if _digest(self._folder / MODEL) != self.drift.sha256:
            raise EncoderError(f"{self._folder}: its model is damaged; delete the folder, it is made again")
        return session(self._folder / MODEL)


def place_of(reference: NetworkEncoder[Decoded], folder: Path) -> Path:
    """Where its model and drift are kept."""
    return folder / f"{reference.id}-onnxruntime-{version('onnxruntime')}"


def make(reference: NetworkEncoder[Decoded], items: Sequence[Decoded], *, place: Path) -> Drift:
    """Export, quantize and compare in a folder of this process, then rename it into place."""
    form = _form(reference)
    held_out = items[::3] if form.calibrated else items
    calibration = [one for n, one in enumerate(items) if n % 3] if form.calibrated else []
    fresh = place.with_name(f".{place.name}.{uuid4().hex}")
    fresh.mkdir(parents=True)
    try:
        plain = fresh / "float32.onnx"
        export(reference.load(), _arrays(reference, items)[0], plain, free=form.free)
        examples = _arrays(reference, calibration[:CALIBRATION])
        quantize(plain, fresh / MODEL, examples, exact=form.exact)
        plain.unlink()
        drift = _compare(reference, held_out, fresh / MODEL)
        drift.write(fresh)
        try:
            os.rename(fresh, place)  # noqa: PTH104  fails where a folder with files is
        except OSError:
            return Drift.read(place) or drift
        return drift
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _compare(reference: NetworkEncoder[Decoded], items: Sequence[Decoded], model: Path) -> Drift:
    near = reference.encode_by(session(model), items, _form(reference).batch)
    return Drift.between(reference.encode(items), near, sha256=_digest(model))


def _arrays(reference: NetworkEncoder[Decoded], items: Sequence[Decoded]) -> list[Arrays]:
    return [arrays for _, arrays in reference.batches(items, _form(reference).batch)]


def _form(reference: NetworkEncoder[Decoded]) -> OnnxForm:
    assert reference.onnx is not None  # who has none is not asked for one
    return reference.onnx


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
