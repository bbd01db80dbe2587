"""Adapters: a few trained numbers beside the frozen weights of an encoder, kept in a folder of their own.

    <folder>/adapter.safetensors, adapter.json

LoRA (Hu et al. 2021) and AdaLoRA (Zhang et al. 2023) are those of `peft`; their low-rank products are added to the
weights when the encoder is loaded, so that encoding is as fast as before. A bottleneck (Houlsby et al. 2019), which
peft does not have, stays in the network as two small layers. Adding one kind means one more branch in `attach`.
"""

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from feature_repo.schema import Modality
from ranking.artifacts import load_as, save_as
from ranking.errors import EncoderError
from ranking.representation.tuned import AdapterKind

if TYPE_CHECKING:
    from peft.tuners.lora import LoraModel

WEIGHTS: Final = "adapter.safetensors"
DESCRIPTION: Final = "adapter.json"
MARKS: Final = ("lora_", "bottleneck_")  # parts of the names of an adapter's own parameters

# The last part of a module's name, by the families that transformers writes: BERT, ViT, AST, DINOv2; CLIP, SigLIP,
# Wav2Vec2, Whisper, Llama; DistilBERT; T5; GPT-2; GPT-NeoX, Falcon, BLOOM. Query and value: Hu et al. 2021, table 5.
ATTENTION: Final = (
    ("query", "value"),
    ("q_proj", "v_proj"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("c_attn",),
    ("query_key_value",),
)
# What attention and feed-forward end with: a bottleneck follows each of them (Houlsby et al. 2019, figure 2).
ENDS: Final = (
    "output.dense",
    "out_proj",
    "o_proj",
    "fc2",
    "down_proj",
    "output_dense",
    "out_lin",
    "lin2",
    "c_proj",
)
OTHER_SIDES: Final = {  # parts of the names of a joint model's towers that a modality does not pass
    Modality.TEXT: ("vision_", "visual_", "audio_"),
    Modality.IMAGE: ("text_",),
    Modality.AUDIO: ("text_",),
}


@dataclass(frozen=True)
class Adapter:
    """What of an adapter is no weight.

    encoder: id of the encoder that it belongs to. rank: of a low-rank product, or a bottleneck's width; AdaLoRA starts
    with half as many more and ends with so many on average. strength: factor of what is added. targets: names of the
    adapted modules.
    """

    kind: AdapterKind
    modality: Modality
    encoder: str
    rank: int
    strength: int
    targets: tuple[str, ...]


class Bottleneck(nn.Module):
    """A layer, and what a narrow residual network makes of its output: y + strength * up(gelu(down(y))).

    The way up is zero at first, so that the adapted network starts as the network itself.
    """

    def __init__(self, base_layer: nn.Module, rank: int, strength: int) -> None:
        super().__init__()
        self.base_layer, self.strength = base_layer, strength
        weight = base_layer.get_parameter("weight")
        if isinstance(base_layer, nn.Conv2d):
            wide = weight.shape[0]
            self.bottleneck_down: nn.Module = nn.Conv2d(wide, rank, 1)
            self.bottleneck_up: nn.Module = nn.Conv2d(rank, wide, 1)
        else:  # of transformers' Conv1D (GPT-2) the second axis is the output
            wide = weight.shape[0] if isinstance(base_layer, nn.Linear) else weight.shape[1]
            self.bottleneck_down = nn.Linear(wide, rank)
            self.bottleneck_up = nn.Linear(rank, wide)
        for part in self.bottleneck_up.parameters():
            nn.init.zeros_(part)

    def forward(self, x: Tensor) -> Tensor:
        """As the layer itself, same shape and device."""
        y: Tensor = self.base_layer(x)
        out: Tensor = y + self.strength * self.bottleneck_up(F.gelu(self.bottleneck_down(y)))
        return out


def targets(network: nn.Module, kind: AdapterKind, modality: Modality, *, share: float = 1.0) -> tuple[str, ...]:
    """Names of the modules that an adapter of this kind belongs to, the last `share` of them in the network's order.

    Of a transformer the attention's query and value, or for bottlenecks what attention and feed-forward end with; of
    any other network its convolutions of one pixel, or for bottlenecks the ones that narrow. Raises `EncoderError` for
    a network that has none.
    """
    layers = {
        name: layer
        for name, layer in network.named_modules()
        if type(layer).__name__ in ("Linear", "Conv1D")  # not torch's own attention, which reads its layers' weights
        and not any(side in name for side in OTHER_SIDES[modality])
    }
    found: list[str] = []
    if kind is AdapterKind.BOTTLENECK:
        found = [name for name in layers if f".{name}".endswith(tuple(f".{end}" for end in ENDS))]
    else:
        for ends in ATTENTION:
            found = found or [name for name in layers if name.rpartition(".")[2] in ends]
    found = found or [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and (kind is not AdapterKind.BOTTLENECK or layer.out_channels < layer.in_channels)
    ]
    if not found:
        raise EncoderError(
            f"{type(network).__name__}: no layer is known that {kind} could adapt; tune a transformer of the kinds "
            "named in docs/tuning.md, or a convolutional network"
        )
    return tuple(found[-math.ceil(share * len(found)) :])


def attach(network: nn.Module, adapter: Adapter, *, dropout: float = 0.0, steps: int = 1) -> "LoraModel | None":
    """Put an adapter without effect into a network, in place, and freeze all else; gives peft's tuner where it has one.

    dropout: before a low-rank product. steps: of the training, over which AdaLoRA spreads its choice of ranks.
    """
    names = list(adapter.targets)
    if adapter.kind is AdapterKind.BOTTLENECK:
        network.requires_grad_(False)
        for name in names:
            layer = network.get_submodule(name)
            parent, _, last = name.rpartition(".")
            setattr(network.get_submodule(parent), last, Bottleneck(layer, adapter.rank, adapter.strength))
        return None
    from peft import AdaLoraConfig, LoraConfig  # heavy: 5 s, which encoders without an adapter need not wait
    from peft.tuners.adalora import AdaLoraModel
    from peft.tuners.lora import LoraModel

    gpt = any(type(network.get_submodule(name)).__name__ == "Conv1D" for name in names)
    if adapter.kind is AdapterKind.LORA:
        config = LoraConfig(
            r=adapter.rank,
            lora_alpha=adapter.strength * adapter.rank,
            lora_dropout=dropout,
            target_modules=names,
            fan_in_fan_out=gpt,
        )
        return LoraModel(network, config, "default")
    first = adapter.rank + (adapter.rank + 1) // 2
    adaptive = AdaLoraConfig(
        init_r=first,
        target_r=adapter.rank,
        lora_alpha=adapter.strength * first,
        lora_dropout=dropout,
        target_modules=names,
        fan_in_fan_out=gpt,
        tinit=steps // 10,
        total_step=steps,
    )
    return AdaLoraModel(network, adaptive, "default")  # type: ignore[no-untyped-call]  # peft's own


def adapter_state(network: nn.Module) -> dict[str, Tensor]:
    """The adapter's own parameters by name; they share the network's memory."""
    return {
        name: value.detach()
        for name, value in network.state_dict().items()
        if any(part.startswith(MARKS) for part in name.split("."))
    }


def save_adapter(folder: Path, adapter: Adapter, state: dict[str, Tensor]) -> None:
    """Write an adapter into an existing folder."""
    save_file({name: value.contiguous().cpu() for name, value in state.items()}, folder / WEIGHTS)
    save_as(folder / DESCRIPTION, adapter, Adapter)


def adapter_id(folder: Path) -> str:
    """Eight hexadecimal digits that change with any byte of an adapter; raises `EncoderError` where there is none."""
    whole = hashlib.sha256()
    try:
        for name in (WEIGHTS, DESCRIPTION):
            with (folder / name).open("rb") as file:
                whole.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise EncoderError(
            f"adapter {folder}: {name} cannot be read ({error.strerror}); give a folder that `trichord tune encoder` "
            "wrote"
        ) from error
    return whole.hexdigest()[:8]


def adapted(network: nn.Module, folder: Path, encoder: str) -> nn.Module:
    """The network with an adapter of a folder in it, ready to encode.

    encoder: id of the encoder whose network this is. Raises `EncoderError` for an adapter of another encoder, or one
    whose weights do not fit, and `ArtifactError` for a damaged description.
    """
    adapter = load_as(folder / DESCRIPTION, Adapter)
    if adapter.encoder != encoder:
        raise EncoderError(
            f"adapter {folder}: was tuned for the encoder {adapter.encoder}, chosen is {encoder}; choose that encoder "
            "in [encoders] of trichord.toml, or tune this one"
        )
    try:
        state = load_file(folder / WEIGHTS)
        tuner = attach(network, adapter)
    except (OSError, SafetensorError, AttributeError, ValueError) as error:
        raise EncoderError(f"adapter {folder}: does not fit ({error}); tune again") from error
    load_adapter_state(network, state, folder)
    whole = network if tuner is None else tuner.merge_and_unload()
    return whole.eval().requires_grad_(False)


def load_adapter_state(network: nn.Module, state: dict[str, Tensor], source: Path) -> None:
    """Set all of the adapter's parameters; raises `EncoderError` if names or shapes are not the ones."""
    own = adapter_state(network)
    shapes = {name: value.shape for name, value in own.items()}
    if shapes != {name: value.shape for name, value in state.items()}:
        raise EncoderError(f"adapter {source}: its weights are not those of the {len(own)} adapted parts; tune again")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(state[name])


def description(adapter: Adapter) -> dict[str, object]:
    """An adapter as JSON, with the number of its targets instead of their names."""
    return asdict(adapter) | {"targets": len(adapter.targets)}
