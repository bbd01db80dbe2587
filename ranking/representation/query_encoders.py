"""The encoders that made a release's vectors, found again for queries."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from feature_repo.schema import Modality
from feature_repo.settings import Encoders, Settings
from ranking.errors import EncoderError
from ranking.representation.audio import AudioEncoder
from ranking.representation.encoder import Encoder, NetworkEncoder
from ranking.representation.image import ImageEncoder
from ranking.representation.pretrained_audio import PretrainedAudioEncoder
from ranking.representation.pretrained_image import PretrainedImageEncoder
from ranking.representation.pretrained_text import PretrainedTextEncoder
from ranking.representation.quantized import faster
from ranking.representation.text import TextEncoder

EncoderSource: TypeAlias = Callable[[Modality], Encoder[Any]]  # raises `EncoderError` where there is none


def encoders_of(settings: Settings, ids: Mapping[Modality, str]) -> EncoderSource:
    """The encoders of a release, as this deployment's settings and home give them.

    ids: of the encoders that made the release's vectors. The source raises `EncoderError` for one that is not there.
    """

    def source(modality: Modality) -> Encoder[Any]:
        chosen = _chosen(modality, settings.encoders)
        near = [chosen]
        if isinstance(chosen, NetworkEncoder):
            cosine = settings.encoders.least_cosine
            near.append(faster(chosen, lambda n: [], settings.quantized, least_cosine=cosine))
        for encoder in near:
            if encoder.id == ids.get(modality):
                return encoder
        raise EncoderError(
            f"{modality} queries need the encoder {ids.get(modality)!r} of the release; here are "
            f"{', '.join(sorted({repr(one.id) for one in near}))}: set [encoders] as it was, or run `trichord run`"
        )

    return source


def _chosen(modality: Modality, chosen: Encoders) -> Encoder[Any]:
    """In float32; what a picture or sound is decoded to is the encoder's own affair."""
    match modality:
        case Modality.TEXT if chosen.text is not None:
            return PretrainedTextEncoder(chosen.text, pooling=chosen.text_pooling, prefix=chosen.text_prefix)
        case Modality.TEXT:
            return TextEncoder()
        case Modality.IMAGE:
            return ImageEncoder() if chosen.image is None else PretrainedImageEncoder(chosen.image)
        case Modality.AUDIO:
            return AudioEncoder() if chosen.audio is None else PretrainedAudioEncoder(chosen.audio)
