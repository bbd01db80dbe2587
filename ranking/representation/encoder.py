"""What every encoder is: bytes of content in, one vector an item out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.types import Floats

if TYPE_CHECKING:
    from torch.nn import Module

Decoded = TypeVar("Decoded")
Arrays: TypeAlias = Mapping[str, npt.NDArray[np.generic]]  # a network's inputs by name; the first axis is the item
Rows: TypeAlias = npt.NDArray[np.int64]
Run: TypeAlias = Callable[[Arrays], Floats]  # inputs of b items -> vectors float32 [b, dim]


class Encoder(ABC, Generic[Decoded]):
    """A pretrained model of one modality; its weights are loaded at the first `encode`. Several threads may use it.

    id: names model, weights, preprocessing, pooling and numbers' precision; vectors of two encoders compare only if it
    is the same. dim: length of a vector.
    """

    modality: Modality
    id: str
    dim: int

    @abstractmethod
    def decode(self, content: bytes) -> Decoded:
        """The model's input for the bytes of one text or file.

        Raises `UnreadableContentError` for bytes that are not what they should be.
        """

    @abstractmethod
    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors float32 [len(batch), dim] in the order of the batch; a row does not depend on the others."""


@dataclass(frozen=True)
class OnnxForm:
    """How a network is written as an ONNX model of 8-bit integers.

    batch: items a call. free: input -> its axes that may have any length. calibrated: the ranges of activations are
    measured beforehand on examples (static quantization), else at every call (dynamic). exact: how the names of layers
    begin that stay in float32.
    """

    batch: int
    calibrated: bool
    free: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    exact: tuple[str, ...] = ()


class TunableEncoder(Encoder[Decoded]):
    """An encoder whose model is one torch network, which an adapter can bend.

    adapter: its folder, None without one; the id names its content.
    """

    adapter: Path | None = None

    @abstractmethod
    def load(self) -> "Module":
        """The network, its adapter in it: takes `Arrays` by name as tensors, gives vectors [b, dim].

        Raises `EncoderError`.
        """

    @abstractmethod
    def batches(self, batch: Sequence[Decoded], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """The network's inputs for at most `size` items at a time, with the rows of the batch that they are."""


class NetworkEncoder(TunableEncoder[Decoded]):
    """An encoder whose network is in float32; the same network may be run by something faster.

    batch: items a call. onnx: how the faster one is made.
    """

    batch: ClassVar[int]
    onnx: ClassVar[OnnxForm]

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors as torch computes them in float32."""
        return self.encode_by(self._run, batch, self.batch)

    def encode_by(self, run: Run, batch: Sequence[Decoded], size: int) -> Floats:
        """Vectors as `run` computes them, `size` items a call."""
        vectors = np.empty((len(batch), self.dim), np.float32)
        for rows, arrays in self.batches(batch, size):
            vectors[rows] = run(arrays)
        return vectors

    def _run(self, arrays: Arrays) -> Floats:
        import torch  # heavy: commands that encode nothing must start fast

        with torch.inference_mode():
            vectors: Floats = self._network(**{name: torch.from_numpy(one) for name, one in arrays.items()}).numpy()
        return vectors

    @cached_property
    def _network(self) -> "Module":
        return self.load()
