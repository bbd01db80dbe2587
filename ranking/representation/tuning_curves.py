"""Curves of a training: to TensorBoard and to Weights & Biases, each where the user has it."""

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from ranking.representation.tuning_checkpoint import unwritable

WANDB: Final = ("WANDB_API_KEY", "WANDB_MODE")  # one of them set: the user has chosen to use it


class Curves:
    """Writes numbers by step; a run that goes on continues its curves.

    folder: where TensorBoard's files lie. name: of the run. step: the first that will be written. settings: shown by
    Weights & Biases, which is used where `wandb` is installed and `WANDB_API_KEY` or `WANDB_MODE` is set. Raises
    `TuningError` where a file cannot be written.
    """

    def __init__(self, folder: Path, *, name: str, step: int, settings: Mapping[str, object]) -> None:
        self._board = _Board(folder, step) if find_spec("tensorboard") else None
        self._wandb: Any = None
        if find_spec("wandb") and any(os.environ.get(one) for one in WANDB):
            import wandb

            self._wandb = wandb.init(project="trichord", id=name, resume="allow", dir=folder, config=dict(settings))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one step, by the name of their curve."""
        if self._board is not None:
            named = [{"tag": name, "simple_value": value} for name, value in values.items()]
            self._board.write(step=step, summary={"value": named})
        if self._wandb is not None:
            self._wandb.log(dict(values), step=step)

    def close(self) -> None:
        """Say that nothing follows."""
        if self._wandb is not None:
            self._wandb.finish()


class _Board:
    """An event file of TensorBoard, written at once: its own writers do it in a thread, which prints its errors."""

    def __init__(self, folder: Path, step: int) -> None:
        self._path = folder / f"events.out.tfevents.{time.time_ns()}"
        self.write(file_version="brain.Event:2")
        self.write(step=step, session_log={"status": "START"})  # what an earlier file has from this step on is void

    def write(self, **event: object) -> None:
        """Append an event, given by its fields."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        try:
            with self._path.open("ab") as file:
                RecordWriter(file).write(Event(wall_time=time.time(), **event).SerializeToString())
        except OSError as error:
            raise unwritable(self._path, error) from error
