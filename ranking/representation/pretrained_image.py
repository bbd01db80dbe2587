"""Pictures by any vision model of transformers (ViT, DINOv2), or by the picture side of a joint one (CLIP, SigLIP)."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.encoder import Arrays, NetworkEncoder, Rows
from ranking.representation.image import read_picture
from ranking.representation.pretrained import find_checkpoint, load_pretrained

if TYPE_CHECKING:
    from torch.nn import Module

SIDE: Final = 512  # large JPEGs are not decoded to more than they need for models of up to this side

Pixels = npt.NDArray[np.float32]


class PretrainedImageEncoder(NetworkEncoder[Pixels]):
    """Unit vectors: a joint model's picture features, else the first token (CLS) of the last layer."""

    modality = Modality.IMAGE
    batch: ClassVar = 8

    def __init__(self, name: str, *, device: str = "cpu", adapter: Path | None = None) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "vision_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        pooling = "joint" if hasattr(config, "vision_config") else "cls"
        super().__init__(f"{self.checkpoint.id}-{pooling}-l2", device=device, adapter=adapter)

    def decode(self, content: bytes) -> Pixels:
        """Float32 [3, h, w], scaled, cut and normalised as the model's preprocessor_config.json says."""
        picture = read_picture(content, SIDE)
        pixels: Pixels = self._processor(images=picture, return_tensors="np")["pixel_values"][0]
        return pixels

    def batches(self, batch: Sequence[Pixels], size: int) -> Iterator[tuple[Rows, Arrays]]:
        """Pictures float32 [b, 3, h, w]."""
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            yield np.arange(start, start + len(part)), {"pixel_values": np.stack(part).astype(np.float32)}

    def plain(self) -> "Module":
        """The model with its pooling."""
        from transformers import AutoModel

        from ranking.representation.pooled import FirstToken, JointPooled

        model = load_pretrained(AutoModel, self.checkpoint)
        return JointPooled(model, "get_image_features") if hasattr(model, "get_image_features") else FirstToken(model)

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoImageProcessor

        return load_pretrained(AutoImageProcessor, self.checkpoint)
