"""Encoders with an adapter: what it adds to their id and to their network."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.nn import Module


class AdapterKind(StrEnum):
    """How the frozen network is bent."""

    LORA = "lora"
    ADALORA = "adalora"
    BOTTLENECK = "bottleneck"


def suffix_of(adapter: Path | None) -> str:
    """What an adapter adds to the encoder's id; raises `EncoderError` for a folder without one."""
    if adapter is None:
        return ""
    from ranking.representation.adapters import adapter_id  # heavy: commands that encode nothing must start fast

    return f"-adapter{adapter_id(adapter)}"


def with_adapter(network: "Module", adapter: Path | None, encoder: str) -> "Module":
    """The network, with its adapter where it has one. encoder: the id without it."""
    if adapter is None:
        return network
    from ranking.representation.adapters import adapted

    return adapted(network, adapter, encoder)
