"""Encoders in bfloat16: the same network, weights of half the size, on processors that multiply in it.

Nothing is kept but what was measured, under the encoder's id and the versions that it hangs on:

    <folder>/<encoder id>-bf16-torch-<version>/drift.json
"""

from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from ranking.representation.drift import Drift
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder, Run
from ranking.types import Floats


class Bfloat16Encoder(Encoder[Decoded]):
    """A reference encoder with its network in bfloat16; vectors come out in float32."""

    in_torch = True

    def __init__(self, reference: NetworkEncoder[Decoded]) -> None:
        self.reference = reference
        self.modality, self.dim, self.held = reference.modality, reference.dim, reference.held
        self.id = f"{reference.id}-bf16"

    def decode(self, content: bytes) -> Decoded:
        """As the reference does."""
        return self.reference.decode(content)

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors as torch computes them in bfloat16."""
        return self.reference.encode_by(self._run, batch, self.reference.batch)

    @cached_property
    def _run(self) -> Run:
        import torch  # heavy: commands that encode nothing must start fast

        from ranking.representation.torch_run import torch_run

        return torch_run(self.reference.load(), dtype=torch.bfloat16)


def place_of(encoder: Bfloat16Encoder[Decoded], folder: Path) -> Path:
    """Where its drift is kept."""
    return folder / f"{encoder.id}-torch-{version('torch')}"


def measure(encoder: Bfloat16Encoder[Decoded], items: Sequence[Decoded], *, place: Path) -> Drift:
    """The drift on these items, which is kept."""
    drift = Drift.between(encoder.reference.encode(items), encoder.encode(items))
    place.mkdir(parents=True, exist_ok=True)
    drift.write(place)
    return drift
