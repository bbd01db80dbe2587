"""Reader of CTranslate2's model files (`model.bin`, version 6), so that CTranslate2 need not be installed.

The file is a version, a specification's name and revision, and tensors one after the other: name, rank, lengths of the
axes, number type, bytes. Format: CTranslate2's python/ctranslate2/specs/model_spec.py, `ModelSpec._serialize`.
"""

import struct
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.errors import EncoderError

VERSION: Final = 6
DTYPES: Final[dict[int, type[np.generic]]] = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}

Tensors: TypeAlias = dict[str, npt.NDArray[np.generic]]


def read_model(path: Path) -> Tensors:
    """Every tensor by its name; raises `EncoderError` for a file that is missing, damaged or of another version."""
    try:
        return _tensors(path.read_bytes())
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise EncoderError(f"{path}: not a readable CTranslate2 model ({error}); install it again") from error


def _tensors(content: bytes) -> Tensors:
    at = 0

    def number(kind: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{kind}", content, at)
        at += struct.calcsize(kind)
        return int(value)

    def taken(length: int) -> bytes:
        nonlocal at
        if at + length > len(content):
            raise ValueError("it is cut off")
        at += length
        return content[at - length : at]

    def string() -> str:
        return taken(number("H"))[:-1].decode()  # which ends in a zero

    if (version := number("I")) != VERSION:
        raise ValueError(f"version {version}; accepted: {VERSION}")
    string(), number("I")  # the specification and its revision
    tensors = {}
    for _ in range(number("I")):
        name = string()
        shape = [number("I") for _ in range(number("B"))]
        dtype = DTYPES[number("B")]
        tensors[name] = np.frombuffer(taken(number("I")), dtype).reshape(shape)
    return tensors
