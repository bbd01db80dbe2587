"""Curves of a training: to TensorBoard and to Weights & Biases, each where the user has it."""

import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

WANDB: Final = ("WANDB_API_KEY", "WANDB_MODE")  # one of them set: the user has chosen to use it


class Curves:
    """Writes numbers by step; a run that goes on continues its curves.

    folder: where TensorBoard's files lie. name: of the run. step: the first that will be written. settings: shown by
    Weights & Biases, which is used where `wandb` is installed and `WANDB_API_KEY` or `WANDB_MODE` is set.
    """

    def __init__(self, folder: Path, *, name: str, step: int, settings: Mapping[str, object]) -> None:
        self._board: Any = None
        self._wandb: Any = None
        if find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(folder, purge_step=step)
        if find_spec("wandb") and any(os.environ.get(one) for one in WANDB):
            import wandb

            self._wandb = wandb.init(project="trichord", id=name, resume="allow", dir=folder, config=dict(settings))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step, by the name of their curve."""
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def close(self) -> None:
        """Write what is still held back."""
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._wandb.finish()
