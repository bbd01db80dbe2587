"""The fastest form of an encoder that gives nearly the same vectors: int8, else bfloat16, else float32 itself."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ranking.representation import bfloat16, quantized
from ranking.representation.bfloat16 import Bfloat16Encoder
from ranking.representation.drift import Drift
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.quantized import CALIBRATION, COMPARED, QuantizedEncoder

log = logging.getLogger(__name__)

Examples: TypeAlias = Callable[[int], Sequence[Decoded]]


def faster(
    reference: NetworkEncoder[Decoded], examples: Examples[Decoded], folder: Path, *, least_cosine: float
) -> Encoder[Decoded]:
    """The encoder in int8 or in bfloat16 if that is to be had and true enough, else the reference; logs which.

    A GPU computes in float32 always. bfloat16 is tried where int8 cannot be had or is refused, and the processor
    multiplies in it.

    examples: gives about as many items as it is asked for, fewer than half of them where there are too few to be worth
    a model of their own. folder: where models and their drift are kept. least_cosine: refuse a form below this mean
    cosine with the reference.
    """
    if reference.device != "cpu":
        return reference
    for form in (_in_int8, _in_bfloat16):
        encoder = form(reference, examples, folder, least_cosine)
        if encoder is not None:
            return encoder
    return reference


def _in_int8(
    reference: NetworkEncoder[Decoded], examples: Examples[Decoded], folder: Path, least_cosine: float
) -> Encoder[Decoded] | None:
    if reference.onnx is None:
        return None
    place = quantized.place_of(reference, folder)
    wanted = COMPARED + (CALIBRATION if reference.onnx.calibrated else 0)
    drift = Drift.read(place) or _measured(partial(quantized.make, reference, place=place), examples, wanted)
    if drift is None or not _true_enough(f"{reference.id} in int8", drift, least_cosine):
        return None
    return QuantizedEncoder(reference, place, drift)


def _in_bfloat16(
    reference: NetworkEncoder[Decoded], examples: Examples[Decoded], folder: Path, least_cosine: float
) -> Encoder[Decoded] | None:
    from ranking.representation.torch_run import has_bfloat16  # imports torch

    if not reference.halved or not has_bfloat16():
        return None
    encoder = Bfloat16Encoder(reference)
    place = bfloat16.place_of(encoder, folder)
    drift = Drift.read(place) or _measured(partial(bfloat16.measure, encoder, place=place), examples, COMPARED)
    if drift is None or not _true_enough(f"{reference.id} in bfloat16", drift, least_cosine):
        return None
    return encoder


def _measured(measure: Callable[[Sequence[Decoded]], Drift], examples: Examples[Decoded], wanted: int) -> Drift | None:
    """None where there are too few examples, or what was measured cannot be written."""
    items = examples(wanted)
    if len(items) < wanted // 2:
        return None
    try:
        return measure(items)
    except OSError as error:
        log.warning("encoders stay in float32: what makes them faster cannot be written (%s)", error)
        return None


def _true_enough(what: str, drift: Drift, least_cosine: float) -> bool:
    if drift.mean_cosine < least_cosine:
        log.warning("%s is refused: %s; the limit is %s", what, drift, least_cosine)
        return False
    log.info("%s: %s", what, drift)
    return True
