"""Pictures by any vision model of transformers (ViT, DINOv2), or by the picture side of a joint one (CLIP, SigLIP)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.encoder import Arrays, Rows, TunableEncoder
from ranking.representation.image import read_picture
from ranking.representation.pretrained import find_checkpoint, load_pretrained
from ranking.representation.tuned import suffix_of, with_adapter
from ranking.types import Floats

if TYPE_CHECKING:
    from torch.nn import Module

BATCH: Final = 8
SIDE: Final = 512  # large JPEGs are not decoded to more than they need for models of up to this side

Pixels = npt.NDArray[np.float32]


class PretrainedImageEncoder(TunableEncoder[Pixels]):
    """Unit vectors: a joint model's picture features, else the first token (CLS) of the last layer.

    adapter: folder of what it was tuned by.
    """

    modality = Modality.IMAGE

    def __init__(self, name: str, *, adapter: Path | None = None) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "vision_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        self.id = f"{self.checkpoint.id}-{'joint' if hasattr(config, 'vision_config') else 'cls'}-l2"
        self.plain_id, self.adapter = self.id, adapter
        self.id += suffix_of(adapter)

    def decode(self, content: bytes) -> Pixels:
        """Float32 [3, h, w], scaled, cut and normalised as the model's preprocessor_config.json says."""
        picture = read_picture(content, SIDE)
        pixels: Pixels = self._processor(images=picture, return_tensors="np")["pixel_values"][0]
        return pixels

    def encode(self, batch: Sequence[Pixels]) -> Floats:
        """Unit vectors float32 [n, dim]."""
        import torch

        vectors = np.empty((len(batch), self.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(batch), BATCH):
                pixels = torch.from_numpy(np.stack(batch[start : start + BATCH]).astype(np.float32))
                vectors[start : start + BATCH] = self._network(pixels).numpy()
        return vectors

    def batches(self, batch: Sequence[Pixels], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Pixels float32 [b, 3, h, w], as tuning reads them."""
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            yield np.arange(start, start + len(part)), {"pixel_values": np.stack(part).astype(np.float32)}

    def load(self) -> "Module":
        """The model with its pooling, and with its adapter where it has one."""
        from transformers import AutoModel

        from ranking.representation.pooled import PooledPicture

        network = PooledPicture(load_pretrained(AutoModel, self.checkpoint))
        return with_adapter(network, self.adapter, self.plain_id)

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoImageProcessor

        return load_pretrained(AutoImageProcessor, self.checkpoint)

    @cached_property
    def _network(self) -> "Module":
        return self.load()
