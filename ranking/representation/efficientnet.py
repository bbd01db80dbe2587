"""EfficientNet-lite0 (Tan & Le 2019; the lite variant has no squeeze-and-excitation and ReLU6): the feature extractor.

Batch normalisation is folded into the convolutions when the weights are read: inference only.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

FEATURES: Final = 1280
EPSILON: Final = 1e-3  # of batch normalisation, as in the TensorFlow original

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """`repeats` blocks of one shape; the first of them has the stride."""

    kernel: int
    stride: int
    expansion: int
    channels: int
    repeats: int


STEM_CHANNELS: Final = 32
STAGES: Final = (
    Stage(kernel=3, stride=1, expansion=1, channels=16, repeats=1),
    Stage(kernel=3, stride=2, expansion=6, channels=24, repeats=2),
    Stage(kernel=5, stride=2, expansion=6, channels=40, repeats=2),
    Stage(kernel=3, stride=2, expansion=6, channels=80, repeats=3),
    Stage(kernel=5, stride=1, expansion=6, channels=112, repeats=3),
    Stage(kernel=5, stride=2, expansion=6, channels=192, repeats=4),
    Stage(kernel=3, stride=1, expansion=6, channels=320, repeats=1),
)


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: with a stride the odd pixel is padded at the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """[b, c_in, side, side] -> [b, c_out, ceil(side / stride), ...]; pictures are square."""
        kernel, stride, side = self.kernel_size[0], self.stride[0], x.shape[-1]
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        if total % 2:
            before = total // 2
            x = F.pad(x, (before, total - before, before, total - before))
            total = 0
        return F.conv2d(x, self.weight, self.bias, stride, total // 2, 1, self.groups)


def _relu6(x: Tensor) -> Tensor:
    return x.clamp_(0, 6)  # in place: a third of the time here is memory traffic


class Block(nn.Module):
    """Inverted residual: widen, filter each channel alone, narrow, and add the input where the shape allows."""

    def __init__(self, stage: Stage, stride: int, channels_in: int) -> None:
        super().__init__()
        wide = channels_in * stage.expansion
        self.expand = SameConv2d(channels_in, wide, 1) if stage.expansion > 1 else None
        self.depthwise = SameConv2d(wide, wide, stage.kernel, stride, groups=wide)
        self.project = SameConv2d(wide, stage.channels, 1)
        self.skip = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        """[b, c_in, h, w] -> [b, c_out, h / stride, w / stride]."""
        wide = x if self.expand is None else _relu6(self.expand(x))
        narrow: Tensor = self.project(_relu6(self.depthwise(wide)))
        return narrow + x if self.skip else narrow


class EfficientNetLite0(nn.Module):
    """Pictures float32 [b, 3, 224, 224] (`PictureNetwork` has their scale) -> pooled features [b, 1280], all >= 0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv2d(3, STEM_CHANNELS, 3, 2)
        self.blocks = nn.ModuleList(_blocks())
        self.head = SameConv2d(STAGES[-1].channels, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Global average of the last feature map."""
        x = _relu6(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return _relu6(self.head(x)).mean((2, 3))

    @classmethod
    def from_state(cls, state: State) -> "EfficientNetLite0":
        """The network with the weights of the published PyTorch checkpoint (its classifier is left out)."""
        network = cls()
        _fold(network.stem, state, "_conv_stem", "_bn0")
        for i, block in enumerate(network.blocks):
            names = [("expand", "_expand_conv", "_bn0")] if block.expand is not None else []
            names += [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
            for ours, conv, norm in names:
                _fold(getattr(block, ours), state, f"_blocks.{i}.{conv}", f"_blocks.{i}.{norm}")
        _fold(network.head, state, "_conv_head", "_bn1")
        return network.eval()


class PictureNetwork(nn.Module):
    """Pictures uint8 [b, 224, 224, 3] -> square roots of EfficientNet-lite0's pooled features [b, 1280]."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.features = EfficientNetLite0.from_state(state)
        self.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> Tensor:
        """Channels stay last in memory, which convolutions on a CPU like best."""
        scaled = (pictures.permute(0, 3, 1, 2).float() - 127) / 128
        pooled: Tensor = self.features(scaled.to(self.features.stem.weight.dtype))
        if pooled.requires_grad:  # an adapter is being trained, and the root of 0 has no slope
            pooled = pooled.clamp(min=1e-12)
        return pooled.sqrt()


def _blocks() -> Iterator[Block]:
    channels = STEM_CHANNELS
    for stage in STAGES:
        for repeat in range(stage.repeats):
            yield Block(stage, stage.stride if repeat == 0 else 1, channels)
            channels = stage.channels


@torch.no_grad()
def _fold(conv: nn.Conv2d, state: State, conv_name: str, norm_name: str) -> None:
    """Set `conv` to the named convolution followed by its batch normalisation."""
    norm = {part: state[f"{norm_name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
    scale = norm["weight"] / torch.sqrt(norm["running_var"] + EPSILON)
    conv.weight.copy_(state[f"{conv_name}.weight"] * scale[:, None, None, None])
    assert conv.bias is not None
    conv.bias.copy_(norm["bias"] - norm["running_mean"] * scale)
