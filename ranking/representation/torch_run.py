"""Networks run by torch: on a device, in float32 or, where the processor has it, in bfloat16."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ranking.representation.encoder import Arrays, Run
from ranking.types import Floats


def torch_run(network: nn.Module, device: str = "cpu", *, dtype: torch.dtype = torch.float32) -> Run:
    """Runs a network, which is moved there; what goes in and comes out are arrays, vectors always in float32."""
    network.to(device=device, dtype=dtype).eval()

    def moved(array: npt.NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(array).to(device)
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    def run(arrays: Arrays) -> Floats:
        with torch.inference_mode():
            vectors: Floats = network(**{name: moved(one) for name, one in arrays.items()}).float().cpu().numpy()
        return vectors

    return run


def has_bfloat16(device: str = "cpu") -> bool:
    """Whether the device multiplies in bfloat16 (a processor by AVX512-BF16 or AMX); else it is emulated, slower."""
    if device != "cpu":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
