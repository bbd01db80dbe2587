"""What a run works on: one home, one dataset, and the stores and logs under that home."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.event_log import EventLog
from feature_repo.rejected import Rejected
from feature_repo.settings import Settings
from feature_repo.store import Store
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.open import fingerprint, open_dataset
from pipelines.home import Built, Facts, Home, Json
from ranking.types import IdIndex, Interactions

DEFAULT_DATASET: Final = "synthetic"


class Listener(Protocol):
    """Is told what a run does: the terminal, or nobody."""

    def built(self, artifact: Built) -> None:
        """An artifact is there now."""

    def step(self, what: str, done: int, total: int) -> None:
        """A long piece of work has come so far."""


class Silence:
    """Nobody listens."""

    def built(self, artifact: Built) -> None:
        """Ignore it."""

    def step(self, what: str, done: int, total: int) -> None:
        """Ignore it."""


class Workspace:
    """Everything that assets share. Tables come from the home; the dataset is read only when something needs it."""

    def __init__(self, settings: Settings, *, listener: Listener | None = None, dataset: str | None = None) -> None:
        self.settings = settings
        self.home = Home(settings)
        self.listener: Listener = listener or Silence()
        self._dataset_name = dataset

    @property
    def dataset_name(self) -> str:
        """The dataset of this home: the one given, else the one that the home was last run with, else the default."""
        if self._dataset_name is not None:
            return self._dataset_name
        try:
            saved = json.loads(self._choice.read_text())
        except FileNotFoundError:
            return os.environ.get("TRICHORD_DATASET", DEFAULT_DATASET)
        return str(saved["dataset"])

    def remember_dataset(self) -> None:
        """Let later runs on this home, scheduled ones among them, use the same dataset."""
        name = self.dataset_name
        self.home.prepare()
        partial = self._choice.with_suffix(".partial")
        partial.write_text(json.dumps({"dataset": name}) + "\n")
        partial.replace(self._choice)
        self._dataset_name = name

    @property
    def _choice(self) -> Path:
        return self.settings.home / "dataset.json"

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset, read and checked."""
        return open_dataset(self.dataset_name, home=self.settings.home)

    @cached_property
    def dataset_fingerprint(self) -> str:
        """Changes when any file of the dataset does."""
        return fingerprint(self.dataset_name)

    @cached_property
    def log(self) -> EventLog:
        """The event log."""
        return EventLog(self.settings.events)

    @cached_property
    def store(self) -> Store:
        """The feature store."""
        return Store(self.settings)

    def build(
        self,
        name: str,
        make: Callable[[Path], Facts],
        *,
        inputs: Sequence[str] = (),
        config: Mapping[str, Json] | None = None,
    ) -> Built:
        """`Home.build`, told to the listener."""
        built = self.home.build(name, make, inputs=inputs, config=config)
        self.listener.built(built)
        return built

    @cached_property
    def items(self) -> pa.Table:
        """`schema.ITEMS` and attributes."""
        return self.home.read("items")

    @cached_property
    def events(self) -> pa.Table:
        """`schema.LABELLED_EVENTS`, ascending in time."""
        return self.home.read("events")

    @cached_property
    def interactions(self) -> Interactions:
        """The events with a weight, over all users and the whole catalogue."""
        users = IdIndex.of(self.home.read("users")[schema.USER_ID].to_pylist())
        items = IdIndex.of(self.items[schema.ITEM_ID].to_pylist())
        return Interactions.from_events(self.events, users=users, items=items)

    @property
    def clock(self) -> datetime:
        """The data's own now: one microsecond after the last event."""
        last: datetime = pc.max(self.events[schema.OCCURRED_AT]).as_py()
        return last + schema.TICK
