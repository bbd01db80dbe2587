"""Whisper's encoder (Radford et al. 2022) up to one of its layers, with weights from a CTranslate2 file."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from ranking.representation.ctranslate2_file import Tensors, read_model

WIDTH_OF_A_HEAD: Final = 64


class WhisperLayers(nn.Module):
    """Log-mel spectrograms float32 [b, 80, 2 frames] -> the last layer's mean over the frames heard, unit [b, dim]."""

    def __init__(self, dim: int, *, layers: int, frames: int) -> None:
        super().__init__()
        heads = dim // WIDTH_OF_A_HEAD
        config = WhisperConfig(
            d_model=dim,
            encoder_layers=layers,
            encoder_attention_heads=heads,
            encoder_ffn_dim=4 * dim,
            max_source_positions=frames,
        )
        self.encoder = WhisperEncoder(config)
        self.encoder.layer_norm = nn.Identity()  # type: ignore[assignment]  # it follows the model's own last layer
        self.eval()

    def forward(self, input_features: Tensor, heard: Tensor) -> Tensor:
        """heard: int64 [b], frames that are sound."""
        hidden = self.encoder(input_features).last_hidden_state  # [b, frames, dim]
        sound = torch.arange(hidden.shape[1], device=heard.device) < heard[:, None]
        return F.normalize((hidden * sound.unsqueeze(-1).to(hidden.dtype)).sum(1), dim=1)

    @classmethod
    def from_package(cls, path: Path, *, layers: int, frames: int) -> "WhisperLayers":
        """Positions beyond `frames` and the layers above are left out. Raises `EncoderError`."""
        tensors = read_model(path)
        network = cls(len(tensors["encoder/conv1/bias"]), layers=layers, frames=frames)
        network.encoder.load_state_dict(_state(tensors, layers, frames))
        return network.eval()


def _state(tensors: Tensors, layers: int, frames: int) -> dict[str, Tensor]:
    """The names of transformers for those of CTranslate2."""
    state = {"embed_positions.weight": _tensor(tensors, "encoder/position_encodings/encodings")[:frames]}
    pairs = [("conv1", "encoder/conv1"), ("conv2", "encoder/conv2")]
    for n in range(layers):
        ours, theirs = f"layers.{n}", f"encoder/layer_{n}"
        pairs += [
            (f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1"),
            (f"{ours}.fc1", f"{theirs}/ffn/linear_0"),
            (f"{ours}.fc2", f"{theirs}/ffn/linear_1"),
        ]
        norms = (("self_attn_layer_norm", "self_attention"), ("final_layer_norm", "ffn"))
        for norm, place in norms:
            state[f"{ours}.{norm}.weight"] = _tensor(tensors, f"{theirs}/{place}/layer_norm/gamma")
            state[f"{ours}.{norm}.bias"] = _tensor(tensors, f"{theirs}/{place}/layer_norm/beta")
        for part in ("weight", "bias"):  # queries, keys and values lie in one
            parts = _tensor(tensors, f"{theirs}/self_attention/linear_0/{part}").chunk(3)
            state |= {f"{ours}.self_attn.{one}_proj.{part}": value for one, value in zip("qkv", parts, strict=True)}
        del state[f"{ours}.self_attn.k_proj.bias"]  # of zeros: Whisper's keys have none
    for one, theirs in pairs:
        state |= {f"{one}.{part}": _tensor(tensors, f"{theirs}/{part}") for part in ("weight", "bias")}
    return state


def _tensor(tensors: Tensors, name: str) -> Tensor:
    return torch.from_numpy(np.array(tensors[name], np.float32))
