"""Releases: everything that answers a request, moved together, switched at once.

releases/<id>/manifest.json   what it is made of
releases/<id>/SHA256SUMS      every other file, as `sha256sum --check` reads it
releases/promotions.jsonl     what was promoted and rolled back, and when
current -> releases/<id>      the one that servers follow
"""

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, JsonValue, ValidationError

from feature_repo.schema import EventKind, Modality
from feature_repo.settings import Settings
from ranking.errors import ArtifactError

MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
PROMOTIONS: Final = "promotions.jsonl"

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_log = logging.getLogger(__name__)


class Manifest(BaseModel):
    """What a release is made of.

    data_until: nothing later was learned from. encoders: encoder id by modality. service: the feature service that its
    ranker reads; services: all that it relies on. metrics: of its offline evaluation, by name. suites: whether each
    suite passed. versions: of the libraries that wrote it. config: hyper-parameters.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    created_at: AwareDatetime
    dataset: str
    kinds: tuple[EventKind, ...]
    data_until: AwareDatetime
    service: str
    services: tuple[str, ...]
    encoders: dict[Modality, str]
    seeds: tuple[int, ...]
    metrics: dict[str, float]
    suites: dict[str, bool]
    versions: dict[str, str]
    config: dict[str, JsonValue]

    @property
    def dataset_name(self) -> str:
        """The dataset without the place of its folder, which is nothing to tell a client."""
        return self.dataset.rstrip("/").rpartition("/")[2]


@dataclass(frozen=True)
class Release:
    """A published release: its folder and what it says of itself."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        """Its id, the name of its folder."""
        return self.manifest.id

    def verify(self) -> None:
        """Compare every file with its checksum; ArtifactError names the first that is missing or changed."""
        sums = self.folder / SUMS
        try:
            wanted = [line.split("  ", 1) for line in sums.read_text().splitlines()]
            for digest, name in wanted:
                if _sha256(self.folder / name) != digest:
                    raise ArtifactError(f"{self.folder / name}: changed since it was published; {_REMEDY}")
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.folder}: damaged ({error}); {_REMEDY}") from error


_REMEDY: Final = "promote another release (`trichord releases list`), or build this one again"


@dataclass(frozen=True)
class Promotion:
    """One line of the promotions file."""

    at: str
    action: Literal["promote", "rollback"]
    id: str


class Releases:
    """The releases of one home. Any number may read; whoever publishes or promotes holds the home's lock."""

    def __init__(self, folder: Path, current: Path) -> None:
        self.folder = folder
        self._current = current

    @classmethod
    def of(cls, settings: Settings) -> "Releases":
        """Those of a deployment."""
        return cls(settings.releases, settings.home / "current")

    def publish(self, release_id: str, make: Callable[[Path], Manifest]) -> Release:
        """Let `make` fill a new folder and put it among the releases; a sound one of that id is kept as it is.

        A killed publication leaves no release. Raises ArtifactError for an id that is no plain file name.
        """
        if not _ID.fullmatch(release_id):
            raise ArtifactError(f"release id {release_id!r}: accepted are up to 100 letters, digits, '.', '_' and '-'")
        place = self.folder / release_id
        if place.exists():
            try:
                old = self.open(release_id)
                old.verify()
                return old
            except ArtifactError as error:
                _log.warning("release %s is damaged and is made again: %s", release_id, error)
        fresh = self.folder / f".{release_id}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        manifest = make(fresh)
        if manifest.id != release_id:
            raise ArtifactError(f"release {release_id}: its manifest says {manifest.id!r}; give both the same id")
        (fresh / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")
        (fresh / SUMS).write_text("".join(f"{_sha256(file)}  {file.relative_to(fresh)}\n" for file in _files(fresh)))
        shutil.rmtree(place, ignore_errors=True)
        fresh.rename(place)
        return Release(place, manifest)

    def open(self, release_id: str) -> Release:
        """A release by id; ArtifactError where there is none, naming those that are, or where it is damaged."""
        if not _ID.fullmatch(release_id) or not (self.folder / release_id).is_dir():
            raise ArtifactError(f"release {release_id!r}: not there; {self._known()}")
        path = self.folder / release_id / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise ArtifactError(f"{path}: not a readable manifest ({error}); {_REMEDY}") from error
        if manifest.id != release_id:
            raise ArtifactError(f"{path}: says {manifest.id!r}, its folder {release_id!r}; name the folder as it was")
        return Release(path.parent, manifest)

    def list(self) -> list[Release]:
        """All releases, oldest first; damaged ones are logged and left out."""
        found = []
        for release_id in self._ids():
            try:
                found.append(self.open(release_id))
            except ArtifactError as error:
                _log.warning("%s", error)
        return sorted(found, key=lambda release: (release.manifest.created_at, release.id))

    def current_id(self) -> str | None:
        """Id of the current release, None where none was ever promoted; costs one system call."""
        try:
            return self._current.readlink().name
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ArtifactError(
                f"{self._current}: no link to a release ({error}); remove it and promote one"
            ) from error

    def current(self) -> Release:
        """The release that servers follow; ArtifactError where there is none."""
        release_id = self.current_id()
        if release_id is None:
            raise ArtifactError(f"{self._current}: no release is current; {self._known()}")
        return self.open(release_id)

    def promote(self, release_id: str) -> Release:
        """Make a release the current one, at once for all who look; a damaged one is refused."""
        return self._switch(release_id, "promote")

    def rollback(self) -> Release:
        """Go back to the release that was current before; again, to the one before that."""
        past = self._past()
        if len(past) < 2:
            raise ArtifactError(f"no release was current before {past[-1] if past else 'now'}; {self._known()}")
        return self._switch(past[-2], "rollback")

    def _switch(self, release_id: str, action: Literal["promote", "rollback"]) -> Release:
        release = self.open(release_id)
        release.verify()
        if action == "promote" and self.current_id() == release_id:
            return release
        link = self._current.with_name(f".{self._current.name}.{os.getpid()}")
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(release.folder, self._current.parent))
        link.replace(self._current)
        with (self.folder / PROMOTIONS).open("a") as log:
            log.write(json.dumps({"at": datetime.now(UTC).isoformat(), "action": action, "id": release_id}) + "\n")
        return release

    def _past(self) -> tuple[str, ...]:
        """Ids that were current one after the other, without those that were rolled back; the last one is current."""
        past: list[str] = []
        for promotion in self.promotions():
            if promotion.action == "rollback":
                del past[-1:]
            else:
                past.append(promotion.id)
        current = self.current_id()
        if current is not None and past[-1:] != [current]:  # switched by hand, or a kill came before the line
            past.append(current)
        return tuple(past)

    def promotions(self) -> tuple[Promotion, ...]:
        """What was promoted and rolled back, in the order of time."""
        path = self.folder / PROMOTIONS
        try:
            return tuple(Promotion(**json.loads(line)) for line in path.read_text().splitlines())
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: not readable ({error}); remove its last line, or the file") from error

    def _ids(self) -> tuple[str, ...]:
        there = self.folder.iterdir() if self.folder.is_dir() else ()
        return tuple(sorted(place.name for place in there if place.is_dir() and _ID.fullmatch(place.name)))

    def _known(self) -> str:
        ids = self._ids()
        return f"known are {', '.join(ids)}" if ids else "there is none yet: run `trichord run`"


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
