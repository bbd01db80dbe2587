"""What torch computes on."""

from feature_repo.settings import Device
from ranking.errors import EncoderError


def find_device(wanted: Device) -> str:
    """The name that torch knows a device by; `auto` takes a GPU where one is.

    Raises `EncoderError` where a GPU is wanted and none can be used.
    """
    if wanted is Device.CPU:
        return "cpu"
    import torch  # heavy: commands that encode nothing must start fast

    if torch.cuda.is_available():
        return "cuda"
    if wanted is Device.AUTO:
        return "cpu"
    why = "has no driver or GPU for it" if torch.version.cuda else f"has torch {torch.__version__}, which knows no GPU"
    raise EncoderError(
        f"encoders.device 'cuda': this machine {why}; accepted: auto, cpu, cuda; set device = \"auto\" under [encoders]"
    )
