"""What every encoder is: bytes of content in, one vector an item out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Generic, TypeVar

from feature_repo.schema import Modality
from ranking.types import Floats

Decoded = TypeVar("Decoded")


class Encoder(ABC, Generic[Decoded]):
    """A pretrained model of one modality; its weights are loaded at the first `encode`. Several threads may use it.

    id: names model, weights, preprocessing and pooling; vectors of two encoders compare only if it is the same.
    dim: length of a vector.
    """

    modality: ClassVar[Modality]
    id: ClassVar[str]
    dim: ClassVar[int]

    @abstractmethod
    def decode(self, content: bytes) -> Decoded:
        """The model's input for the bytes of one text or file.

        Raises `UnreadableContentError` for bytes that are not what they should be.
        """

    @abstractmethod
    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """Vectors float32 [len(batch), dim] in the order of the batch; a row does not depend on the others."""
