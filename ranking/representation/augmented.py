"""Content changed a little, so that an alignment learns what does not depend on it.

A view of an item is encoded once and kept like any other vector, under an encoder id of its own; training draws from
the views. So it costs as much as encoding the catalogue again, for each view, and nothing while training.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from feature_repo.schema import Modality
from ranking.representation.encoder import Decoded, Encoder
from ranking.types import Floats

DROPPED: Final = (0.1, 0.4)  # share of a text's words that is left out, in one span
AREA: Final = (0.5, 1.0)  # share of a picture that is kept
LENGTH: Final = (0.5, 0.9)  # share of a sound that is kept


class Augmented(Encoder[Decoded]):
    """An encoder of changed content: of a text without a span, of a part of a picture, perhaps mirrored, or of a sound.

    number: of the view; the same number changes the same content in the same way.
    """

    def __init__(self, encoder: Encoder[Decoded], number: int) -> None:
        self.encoder = encoder
        self.number = number
        self.modality = encoder.modality
        self.id = f"{encoder.id}-view{number}"
        self.dim, self.held, self.in_torch = encoder.dim, encoder.held, encoder.in_torch

    def decode(self, content: bytes) -> Decoded:
        """The encoder's input for the changed content; raises `UnreadableContentError` as the encoder does."""
        digest = hashlib.sha256(content).digest()
        rng = np.random.default_rng([self.number, int.from_bytes(digest[:8], "big")])
        return self.encoder.decode(CHANGES[self.modality](content, rng))

    def encode(self, batch: Sequence[Decoded]) -> Floats:
        """As the encoder does."""
        return self.encoder.encode(batch)


def without_a_span(content: bytes, rng: np.random.Generator) -> bytes:
    """UTF-8 text without some of its words, which stand together; a text of fewer than four words stays."""
    words = content.decode("utf-8", errors="replace").split()
    if len(words) < 4:
        return content
    dropped = max(1, round(rng.uniform(*DROPPED) * len(words)))
    start = int(rng.integers(len(words) - dropped + 1))
    return " ".join(words[:start] + words[start + dropped :]).encode()


def cropped_picture(content: bytes, rng: np.random.Generator) -> bytes:
    """A part of the picture in its own proportions, mirrored half of the time, as PNG; what is no picture stays."""
    from PIL import ImageOps  # heavy: commands that decode nothing must start fast

    from ranking.errors import UnreadableContentError
    from ranking.representation.image import SIDE, read_picture

    try:
        picture = read_picture(content, SIDE)
    except UnreadableContentError:
        return content  # the encoder will say what is wrong
    share = np.sqrt(rng.uniform(*AREA))
    width, height = (max(1, round(share * side)) for side in picture.size)
    left, top = (int(rng.integers(whole - part + 1)) for whole, part in zip(picture.size, (width, height), strict=True))
    part = picture.crop((left, top, left + width, top + height))
    file = io.BytesIO()
    (ImageOps.mirror(part) if rng.random() < 0.5 else part).save(file, "PNG", compress_level=1)
    return file.getvalue()


def cropped_sound(content: bytes, rng: np.random.Generator) -> bytes:
    """A stretch of the sound, as WAV in floats; what is no sound stays."""
    import soundfile  # heavy, as above

    try:
        signal, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, TypeError):
        return content  # the encoder will say what is wrong
    kept = max(1, round(rng.uniform(*LENGTH) * len(signal)))
    start = int(rng.integers(max(1, len(signal) - kept + 1)))
    file = io.BytesIO()
    soundfile.write(file, signal[start : start + kept], rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


CHANGES: Final[dict[Modality, Callable[[bytes, np.random.Generator], bytes]]] = {
    Modality.TEXT: without_a_span,
    Modality.IMAGE: cropped_picture,
    Modality.AUDIO: cropped_sound,
}
