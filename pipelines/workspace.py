"""What a run works on: one home, one dataset, and the stores and logs under that home."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from feature_repo import schema
from feature_repo.compute import LIVE, TICK
from feature_repo.durable import write_durably
from feature_repo.event_log import EventLog
from feature_repo.labels import rated_kind
from feature_repo.offline_rows import has_rows
from feature_repo.schema import EventKind, Modality
from feature_repo.settings import Settings
from feature_repo.store import Store
from pipelines.alignment_tuning import read_config
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.open import SYNTHETIC, fingerprint, open_dataset
from pipelines.errors import HomeError
from pipelines.home import Built, Facts, Home, Json
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import ItemContent, item_content
from ranking.types import IdIndex, Interactions
from validation.report import Report
from validation.run import validate
from validation.suite import Suite

KINDS: Final = "kinds.json"
VECTORS: Final = "vectors.parquet"  # behind a modality's name, beside the items: what the dataset gives


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
    """Everything that assets share. Tables come from the home; the dataset is read only when something needs it.

    wall: the wall clock, UTC.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        listener: Listener | None = None,
        dataset: str | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.wall = wall
        self.home = Home(settings)
        self.listener: Listener = listener or Silence()
        self.refused: list[str] | None = None  # what the last failing suite said
        self._dataset_name = dataset

    @property
    def dataset_name(self) -> str:
        """The dataset of this home: the one given, else the one that the home was last run with, else the default."""
        if self._dataset_name is not None:
            return self._dataset_name
        try:
            saved = json.loads(self._choice.read_text())
        except FileNotFoundError:
            return os.environ.get("TRICHORD_DATASET", SYNTHETIC)
        return str(saved["dataset"])

    def remember_dataset(self) -> None:
        """Let later runs on this home, scheduled ones among them, use the same dataset."""
        name = self.dataset_name
        self.home.prepare()
        if self._choice.exists():
            before = json.loads(self._choice.read_text())["dataset"]
            if before != name:
                raise HomeError(
                    f"home {self.settings.home}: holds the dataset {before!r}, not {name!r}; "
                    "give another folder with --home, or delete this one"
                )
        write_durably(self._choice, f"{json.dumps({'dataset': name})}\n".encode())
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

    def build_view(
        self,
        name: str,
        make: Callable[[Path], Facts],
        *,
        inputs: Sequence[str],
        config: Mapping[str, Json] | None = None,
    ) -> Built:
        """`build` of a view whose rows `make` gives the store: also where their file is gone, cut off or outdated."""
        if not has_rows(self.settings, name):
            self.home.forget(name)
        return self.build(name, make, inputs=inputs, config=config)

    @cached_property
    def items(self) -> pa.Table:
        """`schema.ITEMS` and attributes."""
        return self.home.read("items")

    def given_vectors(self, modality: Modality) -> pa.Table | None:
        """Vectors of a modality that the dataset brings: `embedding_schema`; None where it does not."""
        path = self.home.folder("items") / f"{modality}_{VECTORS}"
        return pq.read_table(path) if path.exists() else None

    @cached_property
    def events(self) -> pa.Table:
        """`schema.LABELLED_EVENTS`, ascending in time, and `schema.PART` where the dataset has a split of its own."""
        return self.home.read("events")

    @cached_property
    def interactions(self) -> Interactions:
        """The events with a weight, over all users and the whole catalogue."""
        users = IdIndex.of(self.home.read("users")[schema.USER_ID].to_pylist())
        items = IdIndex.of(self.items[schema.ITEM_ID].to_pylist())
        kind = rated_kind(self.kinds)
        rated = () if kind is None else (kind,)
        return Interactions.from_events(self.events, users=users, items=items, rated=rated)

    def known_users(self) -> pa.Table:
        """The dataset's users with their attributes, and those whom only the event log names.

        Of users who were forgotten only those who came back later, without attributes.
        """
        table = self.dataset.users
        gone = self.log.forgotten.among(table[schema.USER_ID].to_pylist())
        table = table.filter(pc.invert(pc.is_in(table[schema.USER_ID], pa.array(gone, pa.string()))))
        met = pc.unique(self.log.read()[schema.USER_ID])
        new = met.filter(pc.invert(pc.is_in(met, table[schema.USER_ID].combine_chunks())))
        return pa.concat_tables([table, pa.table({schema.USER_ID: new})], promote_options="default")

    @property
    def clock(self) -> datetime:
        """The data's own now: the moment after the last event, or, of live data, the last full hour if that is later.

        Events leave their windows as time goes by, so rows of live data are brought forward hour by hour.
        """
        last: datetime = pc.max(self.events[schema.OCCURRED_AT]).as_py()
        hour = self.wall().replace(minute=0, second=0, microsecond=0)
        return max(last + TICK, hour) if hour - last < LIVE else last + TICK

    @cached_property
    def content(self) -> ItemContent:
        """What is known of the items without any event."""
        return self._content("table")

    def content_views(self) -> list[ItemContent]:
        """The same of augmented content, once for each view that the alignment draws from."""
        return [self._content(f"view{number}") for number in range(1, self.alignment.views + 1)]

    def _content(self, file: str) -> ItemContent:
        embeddings = {modality: self.home.read(f"{modality}_embeddings", file) for modality in Modality}
        return item_content(self.items, {modality: table for modality, table in embeddings.items() if len(table)})

    @cached_property
    def alignment(self) -> AlignmentConfig:
        """How items are aligned: the defaults, or what `alignment.json` in the home says otherwise."""
        return read_config(self.settings.home)

    @cached_property
    def kinds(self) -> tuple[EventKind, ...]:
        """What the kinds of events mean, as of the last reading of the dataset."""
        return TypeAdapter(tuple[EventKind, ...]).validate_json((self.home.folder("event_log") / KINDS).read_bytes())

    def validated(self, asset: str, table: pa.Table, suite: Suite) -> Report:
        """The suite's report on an asset's table, kept in the reports folder."""
        report = validate(table, suite)
        if not report.passed:
            self.refused = report.failed()
        folder = self.settings.suite_reports
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{asset}.json").write_text(json.dumps(report.to_json(), indent=2, default=str) + "\n")
        return report

    @property
    def suites(self) -> dict[str, bool]:
        """Whether each asset's suite passed when it was last run."""
        files = sorted(self.settings.suite_reports.glob("*.json"))
        return {file.stem: bool(json.loads(file.read_text())["passed"]) for file in files}

    def progress(self, what: str) -> Callable[[int, int], None]:
        """A callback that tells the listener how far a piece of work has come."""
        return lambda done, total: self.listener.step(what, done, total)
