"""Where a tuning stands: one safetensors file, with what is no array as JSON in its header, replaced at once."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from ranking.errors import TuningError

HEADER = "progress"

Recall: TypeAlias = tuple[int, dict[str, float]]  # after so many steps: modality -> recall@10


@dataclass(frozen=True)
class Checkpoint:
    """State after the step of the last recall.

    arrays: all tensors that a step changes, by name. recalls: what was measured so far. best: step of the best of them.
    """

    arrays: Mapping[str, Tensor]
    recalls: Sequence[Recall]
    best: int

    def save(self, path: Path) -> None:
        """Write beside the old one and rename; raises `TuningError` where that cannot be."""
        unfinished = path.with_name(f".{path.name}.unfinished")
        arrays = {name: one.detach().cpu().contiguous().clone() for name, one in self.arrays.items()}
        try:
            save_file(arrays, unfinished, metadata={HEADER: json.dumps([self.recalls, self.best])})
            os.replace(unfinished, path)  # noqa: PTH105  replaces atomically
        except (OSError, SafetensorError) as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            raise unwritable(path, error) from error

    @classmethod
    def load(cls, path: Path) -> "Checkpoint | None":
        """What `save` wrote, None where nothing is; raises `TuningError` for a damaged file."""
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no dict
                recalls, best = json.loads(file.metadata()[HEADER])
            return cls(arrays, [(int(step), dict(found)) for step, found in recalls], int(best))
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            raise TuningError(f"{path}: not readable ({error}); delete it to start the tuning anew") from error

    def under(self, prefix: str) -> dict[str, Tensor]:
        """The arrays whose names start with `prefix.`, without it."""
        return {
            name.removeprefix(f"{prefix}."): one for name, one in self.arrays.items() if name.startswith(f"{prefix}.")
        }


def unwritable(path: Path, error: Exception) -> TuningError:
    """What is said where a tuning cannot write."""
    return TuningError(
        f"{path}: cannot be written ({error}); make room and run again, the tuning goes on from the step that was "
        "written last"
    )


def named(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays under `prefix.`."""
    return {f"{prefix}.{name}": one for name, one in arrays.items()}


def optimizer_arrays(optimizer: Optimizer) -> dict[str, Tensor]:
    """What an optimizer has gathered of each parameter: place.what -> tensor."""
    state = optimizer.state_dict()["state"]
    return {f"{place}.{what}": one for place, gathered in state.items() for what, one in gathered.items()}


def restore_optimizer(optimizer: Optimizer, arrays: Mapping[str, Tensor]) -> None:
    """Give an optimizer back what `optimizer_arrays` took from one of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, one in arrays.items():
        place, _, what = name.partition(".")
        state.setdefault(int(place), {})[what] = one
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def restore_module(module: nn.Module, arrays: Mapping[str, Tensor]) -> None:
    """All parameters of a module."""
    module.load_state_dict(dict(arrays))
