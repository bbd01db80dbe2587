"""What torch computes on."""

from importlib.metadata import version

from feature_repo.settings import Device
from ranking.errors import EncoderError


def find_device(wanted: Device) -> str:
    """The name that torch knows a device by; `auto` takes a GPU where one is.

    Raises `EncoderError` where a GPU is wanted and none can be used.
    """
    if wanted is Device.CPU:
        return "cpu"
    for_cpu = version("torch").endswith("+cpu")  # known without the second that importing it takes
    if not for_cpu and _has_gpu():
        return "cuda"
    if wanted is Device.AUTO:
        return "cpu"
    why = f"has torch {version('torch')}, which knows no GPU" if for_cpu else "has no GPU or driver that torch can use"
    raise EncoderError(
        f"encoders.device 'cuda': this machine {why}; accepted: auto, cpu, cuda; set device = \"auto\" under [encoders]"
    )


def _has_gpu() -> bool:
    import torch  # heavy, as above

    return torch.cuda.is_available()
