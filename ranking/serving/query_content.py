"""A query's picture and sound: out of base64, and refused before they are decoded where that would cost too much."""

import base64
import binascii
import io
from typing import Final, TypedDict

from ranking.errors import BadRequestError
from ranking.serving.payloads import QueryContent

MAX_PIXELS: Final = 25_000_000  # a phone's picture; it takes 75 MB while it is decoded
MAX_SECONDS: Final = 600


class Contents(TypedDict):
    """What is looked for; image, audio: a file's bytes."""

    text: str | None
    image: bytes | None
    audio: bytes | None


def contents_of(query: QueryContent) -> Contents:
    """The query's contents; BadRequestError names what is no base64, or too large by what its header says."""
    image, audio = _bytes("image", query.image), _bytes("audio", query.audio)
    if image is not None:
        _check_picture(image)
    if audio is not None:
        _check_sound(audio)
    return {"text": query.text, "image": image, "audio": audio}


def _bytes(name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        detail = f"query.{name}: no base64 ({error}); accepted is a file's bytes in base64, without `data:` before it"
        raise BadRequestError(detail) from error


def _check_picture(content: bytes) -> None:
    """By the header alone; what has none that can be read is refused when it is decoded."""
    from PIL import Image  # heavy: most requests hold no picture

    from ranking.representation.image import FORMATS

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadRequestError(f"query.image: {error}; at most {MAX_PIXELS:,} pixels: scale it down") from error
    except (OSError, ValueError, SyntaxError):
        return
    if width * height > MAX_PIXELS:
        raise BadRequestError(
            f"query.image: {width} x {height} pixels; accepted are at most {MAX_PIXELS:,}: scale it down"
        )


def _check_sound(content: bytes) -> None:
    """As `_check_picture`."""
    import soundfile  # loads a shared library

    try:
        seconds = soundfile.info(io.BytesIO(content)).duration
    except (soundfile.SoundFileError, RuntimeError, ValueError, OSError):
        return
    if seconds > MAX_SECONDS:
        raise BadRequestError(
            f"query.audio: {seconds:,.0f} seconds; accepted are at most {MAX_SECONDS}: send a part of it"
        )
