"""musicnn (Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging").

The network up to its penultimate layer, with weights from the authors' TensorFlow checkpoint.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.representation.tf_checkpoint import Tensors

MELS: Final = 96
FRAMES: Final = 187  # of 16 ms: three seconds
FEATURES: Final = 200
EPSILON: Final = 1e-3  # of batch normalisation, as in the TensorFlow original

TIMBRE: Final = ((204, 38), (204, 67))  # channels, mel bands seen at once; 7 frames long
RHYTHM: Final = ((51, 128), (51, 64), (51, 32))  # channels, frames seen at once; one mel band wide
MIDDLE: Final = 64  # channels of each of the three middle layers
POOLED: Final = 2 * (sum(channels for channels, _ in TIMBRE + RHYTHM) + 3 * MIDDLE)  # maximum and mean over time


class Layer(nn.Module):
    """Convolution, ReLU, batch normalisation and the maximum over the bands, in this order."""

    def __init__(self, channels: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm2d(channels, eps=EPSILON)
        self.sign: Tensor
        self.register_buffer("sign", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[b, 1, frames, bands] -> [b, channels, frames, 1]: "same" in time, the maximum over the bands."""
        span = self.conv.kernel_size[0] - 1
        highest = self.conv(F.pad(x, (0, 0, span // 2, span - span // 2))).amax(3, keepdim=True)
        out: Tensor = self.norm(F.relu_(highest * self.sign[:, None, None]))
        return out

    def maximum_first(self) -> None:
        """Negate the channels that normalisation turns upside down, once weights are set.

        ReLU and normalisation then keep or turn round the order of a channel's responses, so only the highest needs
        them: exact, and a fifth faster.
        """
        self.sign.copy_(torch.where(self.norm.weight < 0, -1.0, 1.0))
        self.conv.weight.mul_(self.sign[:, None, None, None])
        assert self.conv.bias is not None
        self.conv.bias.mul_(self.sign)


class MusiCNN(nn.Module):
    """Log-mel patches float32 [b, 187, 96] -> penultimate features [b, 200]."""

    def __init__(self) -> None:
        super().__init__()
        front = [(channels, (7, bands)) for channels, bands in TIMBRE]
        front += [(channels, (frames, 1)) for channels, frames in RHYTHM]
        width = sum(channels for channels, _ in front)
        self.input_norm = nn.BatchNorm2d(1, eps=EPSILON)
        self.front = nn.ModuleList(Layer(channels, kernel) for channels, kernel in front)
        self.middle = nn.ModuleList(Layer(MIDDLE, (7, bands)) for bands in (width, MIDDLE, MIDDLE))
        self.pool_norm = nn.BatchNorm1d(POOLED, eps=EPSILON)
        self.dense = nn.Linear(POOLED, FEATURES)
        self.dense_norm = nn.BatchNorm1d(FEATURES, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        """Timbre and rhythm, three residual layers over time, then what is there at most and on average."""
        x = self.input_norm(x[:, None])
        front = torch.cat([layer(x)[..., 0] for layer in self.front], 1)  # [b, 561, frames]
        levels = [front.transpose(1, 2)[:, None]]  # each [b, 1, frames, channels]
        for i, layer in enumerate(self.middle):
            out = layer(levels[-1]).permute(0, 3, 2, 1)  # [b, 64, frames, 1] -> [b, 1, frames, 64]
            levels.append(out if i == 0 else out + levels[-1])
        over_time = torch.cat(levels, 3)[:, 0]  # [b, frames, 753]
        pooled = torch.stack([over_time.amax(1), over_time.mean(1)], 2).flatten(1)  # maximum and mean take turns
        features: Tensor = self.dense_norm(F.relu(self.dense(self.pool_norm(pooled))))
        return features

    @classmethod
    @torch.no_grad()
    def from_tensors(cls, tensors: Tensors) -> "MusiCNN":
        """The network with the checkpoint's weights; TensorFlow numbers layers in the order of their definition."""
        network = cls()
        layers = [*network.front, *network.middle]
        norms = [network.input_norm, *(layer.norm for layer in layers), network.pool_norm, network.dense_norm]
        for i, norm in enumerate(norms):
            _set_norm(norm, tensors, _numbered("batch_normalization", i))
        for i, layer in enumerate(layers):
            name = _numbered("conv2d", i)
            _set(layer.conv.weight, tensors[f"{name}/kernel"].transpose(3, 2, 0, 1))  # [h, w, in, out] there
            _set(layer.conv.bias, tensors[f"{name}/bias"])
            layer.maximum_first()
        _set(network.dense.weight, tensors["dense/kernel"].T)
        _set(network.dense.bias, tensors["dense/bias"])
        return network.eval()


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name


def _set_norm(norm: nn.Module, tensors: Tensors, name: str) -> None:
    _set(norm.weight, tensors[f"{name}/gamma"])
    _set(norm.bias, tensors[f"{name}/beta"])
    _set(norm.running_mean, tensors[f"{name}/moving_mean"])
    _set(norm.running_var, tensors[f"{name}/moving_variance"])


def _set(target: Tensor | nn.Module | None, value: npt.NDArray[np.generic]) -> None:
    assert isinstance(target, Tensor)  # a parameter that nn.Module types as anything
    target.copy_(torch.from_numpy(np.array(value)))  # a copy: the checkpoint's arrays are read-only
