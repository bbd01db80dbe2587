"""The encoders that made a release's vectors, found again for queries."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from feature_repo.schema import Modality
from feature_repo.settings import Settings
from ranking.errors import BadRequestError, EncoderError
from ranking.representation.chosen import audio_encoder, image_encoder, text_encoder
from ranking.representation.encoder import Encoder
from ranking.representation.faster import faster
from ranking.representation.precomputed import is_precomputed

_CHOSEN: Final = {Modality.TEXT: text_encoder, Modality.IMAGE: image_encoder, Modality.AUDIO: audio_encoder}
EncoderSource: TypeAlias = Callable[[Modality], Encoder[Any]]  # raises `EncoderError` where there is none


def encoders_of(settings: Settings, ids: Mapping[Modality, str]) -> EncoderSource:
    """The encoders of a release, as this deployment's settings and home give them.

    ids: of the encoders that made the release's vectors. The source raises `EncoderError` for one that is not there,
    `BadRequestError` where the dataset brought the vectors.
    """

    def source(modality: Modality) -> Encoder[Any]:
        if is_precomputed(ids.get(modality)):
            raise BadRequestError(
                f"query: the {modality} vectors of this release came with its dataset, and their encoder is not here; "
                "ask by an item, or by content of another modality"
            )
        exact = _CHOSEN[modality](settings.encoders)
        cosine = settings.encoders.least_cosine
        near = [exact, faster(exact, lambda n: [], settings.quantized, least_cosine=cosine)]
        for encoder in near:
            if encoder.id == ids.get(modality):
                return encoder
        raise EncoderError(
            f"{modality} queries need the encoder {ids.get(modality)!r} of the release; here are "
            f"{', '.join(sorted({repr(one.id) for one in near}))}: set [encoders] as it was, or run `trichord run`"
        )

    return source
