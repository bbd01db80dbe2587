"""A generator's fitted state on disk: its config as JSON, its arrays as safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from scipy import sparse

from ranking.artifacts import Arrays, load_arrays, load_json, save_arrays, save_json
from ranking.errors import ArtifactError
from ranking.types import Bools, Codes, Floats, Times

Config = TypeVar("Config")
Scalar = TypeVar("Scalar", bound=np.generic)

CONFIG_FILE = "config.json"
ARRAYS_FILE = "state.safetensors"


def save_state(folder: Path, config: object, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
    """Write a config dataclass and named arrays into an existing folder."""
    save_json(folder / CONFIG_FILE, TypeAdapter(type(config)).dump_python(config, mode="json"))
    save_arrays(folder / ARRAYS_FILE, arrays)


def load_state(folder: Path, kind: type[Config]) -> tuple[Config, "State"]:
    """Read what `save_state` wrote; raises `ArtifactError` for a missing or damaged file or another kind of config."""
    stored = load_json(folder / CONFIG_FILE)
    try:
        config = TypeAdapter(kind).validate_python(stored)
    except ValidationError as error:
        message = f"{folder / CONFIG_FILE}: not a {kind.__name__} ({error}); build the release again"
        raise ArtifactError(message) from error
    return config, State(folder / ARRAYS_FILE)


def pack(name: str, matrix: sparse.csr_matrix) -> Arrays:
    """A float32 CSR matrix as named arrays."""
    return {
        f"{name}.data": matrix.data,
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
        f"{name}.shape": np.array(matrix.shape, np.int64),
    }


class State:
    """The arrays of one file by name; each getter raises `ArtifactError` when there is none of its type."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._arrays = load_arrays(path)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def floats(self, name: str) -> Floats:
        """A float32 array."""
        return self._get(name, np.float32)

    def all_floats(self) -> dict[str, Floats]:
        """All float32 arrays by name."""
        return {name: self.floats(name) for name, array in self._arrays.items() if array.dtype == np.float32}

    def bools(self, name: str) -> Bools:
        """A bool array."""
        return self._get(name, np.bool_)

    def codes(self, name: str) -> Codes:
        """An int32 array."""
        return self._get(name, np.int32)

    def times(self, name: str) -> Times:
        """An int64 array."""
        return self._get(name, np.int64)

    def matrix(self, name: str) -> sparse.csr_matrix:
        """The matrix that `pack` took apart."""
        parts = self.floats(f"{name}.data"), self.codes(f"{name}.indices"), self.times(f"{name}.indptr")
        rows, columns = self.times(f"{name}.shape").tolist()
        return sparse.csr_matrix(parts, shape=(rows, columns))

    def _get(self, name: str, kind: type[Scalar]) -> npt.NDArray[Scalar]:
        array = self._arrays.get(name)
        if array is None or array.dtype != np.dtype(kind):
            found = "missing" if array is None else f"of type {array.dtype}"
            raise ArtifactError(
                f"{self._path}: array {name!r} is {found}, needed is {np.dtype(kind)}; build the release again"
            )
        return array.view(kind)
