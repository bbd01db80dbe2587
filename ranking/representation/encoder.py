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
from ranking.representation.tuned import suffix_of, with_adapter
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
    is the same. dim: length of a vector. held: contents that a thread decodes before it encodes them. in_torch: whether
    torch computes, which takes all cores unless it is told not to.
    """

    modality: Modality
    id: str
    dim: int
    held: int = 32
    in_torch: bool = False

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


class NetworkEncoder(Encoder[Decoded]):
    """An encoder whose model is one torch network in float32; the same network may be run by something faster.

    batch: items a call. onnx: how an int8 model is made, None where none is to be had. halved: whether bfloat16 makes
    it faster where the processor has it. decodes_in_torch: whether torch is used before the network, too. device: what
    torch computes on, "cpu" or "cuda". adapter: folder of what the network is tuned by, None without one; the id names
    its content, plain_id is the id without it.
    """

    batch: ClassVar[int]
    onnx: ClassVar[OnnxForm | None] = None
    halved: ClassVar[bool] = True
    decodes_in_torch: ClassVar[bool] = False
    in_torch = True

    def __init__(self, plain_id: str, *, device: str = "cpu", adapter: Path | None = None) -> None:
        """Raises `EncoderError` for a folder without an adapter."""
        self.device, self.adapter, self.plain_id = device, adapter, plain_id
        self.id = plain_id + suffix_of(adapter)

    @abstractmethod
    def plain(self) -> "Module":
        """The network without adapter: takes `Arrays` by name as tensors, gives vectors [b, dim].

        Raises `EncoderError`.
        """

    def load(self) -> "Module":
        """The network with its adapter where it has one; raises `EncoderError`."""
        return with_adapter(self.plain(), self.adapter, self.plain_id)

    @abstractmethod
    def batches(self, batch: Sequence[Decoded], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """The network's inputs for at most `size` items at a time, with the rows of the batch that they are.

        An item in several parts has a row for each of them.
        """

    def weights(self, arrays: Arrays) -> Floats:
        """How much each row of a network's inputs weighs among the parts of its item, float32 [b, 1]."""
        return np.ones((len(next(iter(arrays.values()))), 1), np.float32)

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors as torch computes them in float32."""
        return self.encode_by(self._run, batch, self.batch)

    def encode_by(self, run: Run, batch: Sequence[Decoded], size: int) -> Floats:
        """Vectors as `run` computes them, `size` items a call."""
        vectors = np.empty((len(batch), self.dim), np.float32)
        for rows, arrays in self.batches(batch, size):
            vectors[rows] = run(arrays)
        return vectors

    def sums_by(self, run: Run, batch: Sequence[Decoded], size: int) -> Floats:
        """The weighted sum of what `run` computes over the parts of each item, where an item has several."""
        sums = np.zeros((len(batch), self.dim), np.float32)
        for rows, arrays in self.batches(batch, size):
            np.add.at(sums, rows, run(arrays) * self.weights(arrays))
        return sums

    @cached_property
    def _run(self) -> Run:
        from ranking.representation.torch_run import torch_run  # heavy: commands that encode nothing must start fast

        return torch_run(self.load(), self.device)
