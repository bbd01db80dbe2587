"""Where and how exactly a training computes."""

import torch

from ranking.errors import TuningError


def choose_device(name: str | None = None) -> torch.device:
    """The device asked for; without a wish the first GPU, or the CPU where there is none.

    Raises `TuningError` for a name that torch does not know or a GPU that is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise TuningError(f"device {name!r}: not known; accepted are cpu, cuda and cuda:NUMBER") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise TuningError(f"device {name!r}: not supported; accepted are cpu, cuda and cuda:NUMBER")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if (device.index or 0) >= there:
        raise TuningError(
            f"device {name!r}: not there, {there} GPUs are; leave the option out to use what there is, or install "
            "torch with CUDA"
        )
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by itself, so that mixed precision is faster there."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
