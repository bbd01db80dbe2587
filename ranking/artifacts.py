"""Fitted state on disk: arrays as safetensors, everything else as JSON; never pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ranking.errors import ArtifactError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Arrays: TypeAlias = dict[str, npt.NDArray[np.generic]]
T = TypeVar("T")


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write named arrays to one safetensors file."""
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)


def load_arrays(path: Path) -> Arrays:
    """Read what `save_arrays` wrote."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path}: not a readable safetensors file ({error}); build the release again") from error


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
