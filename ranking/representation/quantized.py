"""Encoders three to four times as fast: the same network in 8-bit integers, if it gives nearly the same vectors.

The quantized model is made once, from the packaged weights and some of the items' own content, and kept:

    <folder>/<encoder id>-onnxruntime-<version>/model.onnx, drift.json

It appears there whole or not at all, so that two processes may make it at once: the second to finish takes the first's.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np

from ranking.errors import EncoderError
from ranking.representation.encoder import Arrays, Decoded, Encoder, NetworkEncoder, Run
from ranking.representation.onnx_model import export, quantize, session
from ranking.types import Floats

log = logging.getLogger(__name__)

CALIBRATION: Final = 64  # items that ranges of activations are measured on
COMPARED: Final = 128  # other items that the drift is measured on
MODEL: Final = "model.onnx"
DRIFT: Final = "drift.json"


@dataclass(frozen=True)
class Drift:
    """How far a quantized model is from its reference.

    mean_cosine, min_cosine: between both vectors of an item, over `items` of them. sha256: of the model's file.
    """

    mean_cosine: float
    min_cosine: float
    items: int
    sha256: str


class QuantizedEncoder(Encoder[Decoded]):
    """A reference encoder with its network in 8-bit integers; the id names the very model, whose ranges were measured.

    Raises `EncoderError` at the first `encode` if the model's file is not the one whose drift was measured.
    """

    def __init__(self, reference: NetworkEncoder[Decoded], folder: Path, drift: Drift) -> None:
        self.reference = reference
        self.drift = drift
        self.modality, self.dim = reference.modality, reference.dim
        self.id = f"{reference.id}-int8-{drift.sha256[:8]}"
        self._folder = folder

    def decode(self, content: bytes) -> Decoded:
        """As the reference does."""
        return self.reference.decode(content)

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors on the calling thread alone."""
        return self.reference.encode_by(self._run, batch, self.reference.onnx.batch)

    @cached_property
    def _run(self) -> Run:
        if _digest(self._folder / MODEL) != self.drift.sha256:
            raise EncoderError(f"{self._folder}: its model is damaged; delete the folder, it is made again")
        return session(self._folder / MODEL)


def faster(
    reference: NetworkEncoder[Decoded],
    examples: Callable[[int], Sequence[Decoded]],
    folder: Path,
    *,
    least_cosine: float,
) -> Encoder[Decoded]:
    """The encoder in 8-bit integers if it is true enough, else the reference itself; which of the two is logged.

    examples: gives about as many items as it is asked for, fewer than half of them where there are too few to be worth
    a model of their own. folder: where models are kept. least_cosine: refuse the quantized model below this mean
    cosine with the reference.
    """
    place = folder / f"{reference.id}-onnxruntime-{version('onnxruntime')}"
    drift = _read(place)
    if drift is None:
        wanted = COMPARED + (CALIBRATION if reference.onnx.calibrated else 0)
        items = examples(wanted)
        if len(items) < wanted // 2:
            return reference
        try:
            drift = _make(reference, items, place)
        except OSError as error:
            log.warning("%s stays in float32: %s cannot be written (%s)", reference.id, place, error)
            return reference
    found = f"mean cosine {drift.mean_cosine:.4f}, least {drift.min_cosine:.4f} over {drift.items} items"
    if drift.mean_cosine < least_cosine:
        log.warning("%s stays in float32: in int8 %s; the limit is %s", reference.id, found, least_cosine)
        return reference
    log.info("%s runs in int8: %s", reference.id, found)
    return QuantizedEncoder(reference, place, drift)


def _make(reference: NetworkEncoder[Decoded], items: Sequence[Decoded], place: Path) -> Drift:
    """Export, quantize and compare in a folder of this process, then rename it into place."""
    held_out = items[::3] if reference.onnx.calibrated else items
    calibration = [one for n, one in enumerate(items) if n % 3] if reference.onnx.calibrated else []
    fresh = place.with_name(f".{place.name}.{uuid4().hex}")
    fresh.mkdir(parents=True)
    try:
        plain = fresh / "float32.onnx"
        export(reference.load(), _arrays(reference, items)[0], plain, free=reference.onnx.free)
        examples = _arrays(reference, calibration[:CALIBRATION])
        quantize(plain, fresh / MODEL, examples, exact=reference.onnx.exact)
        plain.unlink()
        drift = _compare(reference, held_out, fresh / MODEL)
        (fresh / DRIFT).write_text(json.dumps(asdict(drift), indent=2) + "\n")
        try:
            os.rename(fresh, place)  # noqa: PTH104  fails where a folder with files is
        except OSError:
            return _read(place) or drift
        return drift
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _compare(reference: NetworkEncoder[Decoded], items: Sequence[Decoded], model: Path) -> Drift:
    exact = reference.encode(items)
    near = reference.encode_by(session(model), items, reference.onnx.batch)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(near, axis=1)
    cosines = (exact * near).sum(1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    return Drift(float(cosines.mean()), float(cosines.min()), len(items), _digest(model))


def _arrays(reference: NetworkEncoder[Decoded], items: Sequence[Decoded]) -> list[Arrays]:
    return [arrays for _, arrays in reference.batches(items, reference.onnx.batch)]


def _read(place: Path) -> Drift | None:
    """What was measured when the model was made; None where none is, or what is there is torn."""
    try:
        return Drift(**json.loads((place / DRIFT).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
