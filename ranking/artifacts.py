"""Fitted state on disk: arrays as safetensors, everything else as JSON; never pickle.

Arrays are mapped, not read: processes that load the same file share its memory, and pay for what they look at.
"""

import json
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import save_file

from ranking.errors import ArtifactError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Arrays: TypeAlias = dict[str, npt.NDArray[np.generic]]
T = TypeVar("T")

_SIZE: Final = 8  # bytes before the header that say how long it is
_TYPES: Final = {
    name: np.dtype(kind)
    for name, kind in {
        **{"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"},
        **{"U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"},
    }.items()
}


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write named arrays to one safetensors file, in the place of what was there: who has that mapped keeps it."""
    fresh = path.with_name(f".{path.name}.new")
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, fresh)
    fresh.replace(path)


def load_arrays(path: Path) -> Arrays:
    """Map what `save_arrays` wrote. What is written into an array stays in this process."""
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        start = _SIZE + int.from_bytes(content[:_SIZE], "little")
        if start > len(content):
            raise ValueError(f"a header that ends at byte {start} of {len(content)}")
        header = json.loads(content[_SIZE:start])
        header.pop("__metadata__", None)
        return {name: _array(content, start, **told) for name, told in header.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error}); build the release again") from error


def _array(
    content: mmap.mmap, start: int, dtype: str, shape: list[int], data_offsets: tuple[int, int]
) -> npt.NDArray[np.generic]:
    kind, (begin, end) = _TYPES[dtype], data_offsets
    count = int(np.prod(shape, dtype=np.int64))
    if not 0 <= begin <= end <= len(content) - start or end - begin != count * kind.itemsize:
        raise ValueError(f"an array of {dtype} {shape} at bytes {begin} to {end} of {len(content) - start}")
    array = np.frombuffer(content, kind, count, start + begin) if count else np.empty(0, kind)
    return np.require(array.reshape(shape), requirements="A")  # a copy where it does not lie on its type's bounds


def save_json(path: Path, value: Json) -> None:
    """Write one JSON document, readable by people."""
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def load_json(path: Path) -> Json:
    """Read what `save_json` wrote."""
    try:
        value: Json = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: not a readable JSON file ({error}); build the release again") from error
    return value


def save_as(path: Path, value: T, kind: type[T]) -> None:
    """Write a dataclass (a configuration, say) as JSON, readable by people."""
    path.write_bytes(TypeAdapter(kind).dump_json(value, indent=2) + b"\n")


def load_as(path: Path, kind: type[T]) -> T:
    """Read what `save_as` wrote, checked field by field."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ArtifactError(f"{path}: not a readable {kind.__name__} ({error}); build the release again") from error
