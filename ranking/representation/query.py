"""A place in the aligned space for a text, picture or sound that belongs to no item."""

from typing import Any

import numpy as np
from scipy import sparse

from feature_repo.schema import Modality
from ranking.errors import BadRequestError, UnreadableContentError
from ranking.representation.alignment import Alignment
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.encoder import Encoder
from ranking.representation.query_encoders import EncoderSource
from ranking.types import Floats, IdIndex


def query_vector(
    alignment: Alignment,
    encoders: EncoderSource,
    *,
    text: str | None = None,
    image: bytes | None = None,
    audio: bytes | None = None,
) -> Floats:
    """Where an item with this content alone would lie: float32 [dim], length 1.

    Several contents are led through their heads and gates as those of one item are; arguments as of `query_contents`.
    encoders: gives the very encoder that the items' vectors of a modality come from.

    Raises:
        BadRequestError: no content at all, or of a modality that the alignment knows nothing of.
        UnreadableContentError: a blank text, or bytes that are no picture or sound.
    """
    contents = query_contents(text=text, image=image, audio=audio)
    for modality in contents:
        if modality not in alignment.inputs.means:
            known = ", ".join(one for one in Modality if one in alignment.inputs.means) or "none"
            raise BadRequestError(
                f"query: {modality} is not in this release, as no item has any; accepted are: {known}"
            )
    vectors = {modality: encoded(encoders(modality), content) for modality, content in contents.items()}
    (vector,) = alignment.item_vectors(_one_item(vectors))
    return np.asarray(vector)


def query_contents(
    *, text: str | None = None, image: bytes | None = None, audio: bytes | None = None
) -> dict[Modality, bytes]:
    """What is given, at least one content, else BadRequestError. image, audio: a file's bytes."""
    given = {
        Modality.TEXT: None if text is None else text.encode(errors="replace"),
        Modality.IMAGE: image,
        Modality.AUDIO: audio,
    }
    contents = {modality: content for modality, content in given.items() if content is not None}
    if not contents:
        raise BadRequestError("query: nothing to look for; give a text, an image or a sound")
    return contents


def encoded(encoder: Encoder[Any], content: bytes) -> Floats:
    """One content's vector as an item's is, float32 [1, dim]; raises `UnreadableContentError` with its modality."""
    try:
        return encoder.encode([encoder.decode(content)])
    except UnreadableContentError as error:
        raise UnreadableContentError(error.reason, f"{encoder.modality} of the query: {error}") from error


def _one_item(vectors: dict[Modality, Floats]) -> ItemContent:
    """An item of which nothing but these vectors is known."""
    present = {modality: np.ones(1, bool) for modality in vectors}
    unknown = np.array([UNKNOWN_TIME])
    return ItemContent(IdIndex(("",)), vectors, present, unknown, sparse.csr_matrix(np.zeros((1, 0), bool)))
