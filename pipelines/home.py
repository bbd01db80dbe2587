"""The home folder: who may write there, and artifacts that are built only when what they are made from has changed."""

import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.settings import Settings
from pipelines.errors import HomeError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Facts: TypeAlias = dict[str, Json]

STAMP = "stamp.json"
ROWS_A_GROUP = 16_384
RECIPE_VERSION = 11  # raised when the code behind any artifact changes what it writes


@dataclass(frozen=True)
class Built:
    """One artifact after `Home.build`: its fingerprint, what was counted when it was made, and whether it was kept."""

    name: str
    fingerprint: str
    facts: Facts
    reused: bool
    seconds: float


class Home:
    """Artifacts under `settings.lake`, one folder each with its stamp.

    An artifact is made in a temporary folder and renamed into place, so a killed run leaves the old one or none;
    its fingerprint covers its configuration and the fingerprints of its inputs.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def prepare(self) -> None:
        """Create the home folder; HomeError where it cannot be written."""
        try:
            for folder in (self.settings.lake, self.settings.reports, self.settings.releases):
                folder.mkdir(parents=True, exist_ok=True)
            probe = self.settings.home / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HomeError(
                f"home {self.settings.home}: cannot be written ({error.strerror}); "
                "give a folder of yours with --home or TRICHORD_HOME"
            ) from error

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the home for one run; HomeError while another run holds it."""
        self.prepare()
        with (self.settings.home / ".lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.seek(0)
                raise HomeError(
                    f"home {self.settings.home}: in use by another run (process {file.read().strip() or 'unknown'}); "
                    "wait for it to end, or give another folder with --home"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def folder(self, name: str) -> Path:
        """Where an artifact lies."""
        return self.settings.lake / name

    def stamp(self, name: str) -> Built | None:
        """The artifact as last built, None if it is not there."""
        try:
            saved = json.loads((self.folder(name) / STAMP).read_text())
            return Built(name, saved["fingerprint"], saved["facts"], reused=True, seconds=0.0)
        except (OSError, ValueError, KeyError, TypeError):  # absent, no JSON, or not that of a stamp
            return None

    def forget(self, name: str) -> None:
        """Let the next `build` make an artifact again, whatever it was made from."""
        (self.folder(name) / STAMP).unlink(missing_ok=True)

    def build(
        self,
        name: str,
        make: Callable[[Path], Facts],
        *,
        inputs: Sequence[str] = (),
        config: Mapping[str, Json] | None = None,
    ) -> Built:
        """Make an artifact unless it was made from the same inputs and configuration before.

        make: writes its files into the folder that it is given and returns what it counted.
        inputs: names of artifacts that it reads; HomeError names the first one that was never built.
        """
        fingerprint = self._fingerprint(name, inputs, config or {})
        old = self.stamp(name)
        if old is not None and old.fingerprint == fingerprint:
            return old
        started = time.perf_counter()
        fresh = self.settings.lake / f".{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        facts = make(fresh)
        (fresh / STAMP).write_text(json.dumps({"fingerprint": fingerprint, "facts": facts}, indent=2) + "\n")
        swap(fresh, self.folder(name))
        return Built(name, fingerprint, facts, reused=False, seconds=time.perf_counter() - started)

    def _fingerprint(self, name: str, inputs: Sequence[str], config: Mapping[str, Json]) -> str:
        above: dict[str, str] = {}
        for one in inputs:
            stamp = self.stamp(one)
            if stamp is None:
                raise HomeError(f"{name}: needs `{one}`, which was never built here; run `trichord run` first")
            above[one] = stamp.fingerprint
        whole = {"name": name, "version": RECIPE_VERSION, "inputs": above, "config": config}
        return hashlib.sha256(json.dumps(whole, sort_keys=True, default=str).encode()).hexdigest()

    def write(self, folder: Path, table: pa.Table) -> None:
        """Write an artifact's table into the folder that `make` was given; HomeError where that cannot be done."""
        path = folder / "table.parquet"
        try:
            # a group of rows is held in memory until it is whole
            pq.write_table(table, path, compression="zstd", row_group_size=ROWS_A_GROUP)
        except OSError as error:
            raise HomeError(
                f"{path}: cannot be written ({error}); make room and run again, it goes on there"
            ) from error

    def read(self, name: str, file: str = "table") -> pa.Table:
        """An artifact's table, or another one that lies beside it."""
        path = self.folder(name) / f"{file}.parquet"
        if not path.exists():
            raise HomeError(f"{path}: not there; run `trichord run --home {self.settings.home}` first")
        return pq.read_table(path)


def swap(fresh: Path, place: Path) -> None:
    """Put a finished folder in the place of an older one; a kill in between leaves no folder rather than a torn one."""
    old = place.with_name(f".{place.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    fresh.rename(place)
    shutil.rmtree(old, ignore_errors=True)
