"""Pictures by any vision model of transformers (ViT, DINOv2), or by the picture side of a joint one (CLIP, SigLIP)."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.representation.encoder import Encoder
from ranking.representation.image import read_picture
from ranking.representation.pretrained import features, find_checkpoint, load_pretrained
from ranking.types import Floats

BATCH: Final = 8
SIDE: Final = 512  # large JPEGs are not decoded to more than they need for models of up to this side

Pixels = npt.NDArray[np.float32]


class PretrainedImageEncoder(Encoder[Pixels]):
    """Unit vectors: a joint model's picture features, else the first token (CLS) of the last layer."""

    modality = Modality.IMAGE

    def __init__(self, name: str) -> None:
        from transformers import AutoConfig  # heavy: commands that encode nothing must start fast

        self.checkpoint = find_checkpoint(name)
        config = load_pretrained(AutoConfig, self.checkpoint)
        own = getattr(config, "vision_config", None) or config
        self.dim = int(getattr(config, "projection_dim", 0) or own.hidden_size)
        self.id = f"{self.checkpoint.id}-{'joint' if hasattr(config, 'vision_config') else 'cls'}-l2"

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
                if hasattr(self._model, "get_image_features"):
                    pooled = features(self._model.get_image_features(pixel_values=pixels))
                else:
                    pooled = self._model(pixel_values=pixels).last_hidden_state[:, 0]
                vectors[start : start + BATCH] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return vectors

    @cached_property
    def _processor(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoImageProcessor

        return load_pretrained(AutoImageProcessor, self.checkpoint)

    @cached_property
    def _model(self) -> Any:  # noqa: ANN401  as transformers types it
        from transformers import AutoModel

        return load_pretrained(AutoModel, self.checkpoint).eval()
