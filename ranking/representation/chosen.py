"""The encoders that a deployment's settings choose, in float32: the packaged ones, or any that transformers knows.

What a picture or sound is decoded to is the encoder's own affair.
"""

from typing import Any

from feature_repo.settings import Encoders
from ranking.representation.audio import AudioEncoder
from ranking.representation.device import find_device
from ranking.representation.encoder import NetworkEncoder
from ranking.representation.image import ImageEncoder
from ranking.representation.pretrained_audio import PretrainedAudioEncoder
from ranking.representation.pretrained_image import PretrainedImageEncoder
from ranking.representation.pretrained_text import PretrainedTextEncoder
from ranking.representation.text import TextEncoder
from ranking.representation.whisper import WhisperEncoder


def text_encoder(chosen: Encoders) -> NetworkEncoder[str]:
    """Raises `EncoderError` for a model that cannot be found or a device that is not there."""
    device = find_device(chosen.device)
    if chosen.text is None:
        return TextEncoder(device=device, adapter=chosen.text_adapter)
    return PretrainedTextEncoder(
        chosen.text,
        pooling=chosen.text_pooling,
        prefix=chosen.text_prefix,
        device=device,
        adapter=chosen.text_adapter,
    )


def image_encoder(chosen: Encoders) -> NetworkEncoder[Any]:
    """Raises as `text_encoder` does."""
    device = find_device(chosen.device)
    if chosen.image is None:
        return ImageEncoder(device=device, adapter=chosen.image_adapter)
    return PretrainedImageEncoder(chosen.image, device=device, adapter=chosen.image_adapter)


def audio_encoder(chosen: Encoders) -> NetworkEncoder[Any]:
    """Raises as `text_encoder` does."""
    device = find_device(chosen.device)
    match chosen.audio:
        case None:
            return AudioEncoder(device=device)
        case "whisper-tiny":  # the packaged one; ./whisper-tiny is a folder
            return WhisperEncoder(device=device)
        case name:
            return PretrainedAudioEncoder(name, device=device)
