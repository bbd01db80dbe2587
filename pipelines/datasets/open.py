"""A dataset by its name: the synthetic one, a published one in its folder, or a folder of one's own."""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipelines.datasets.dataset import Dataset
from pipelines.datasets.frappe import read_frappe
from pipelines.datasets.lastfm import read_lastfm
from pipelines.datasets.movielens import movielens_folders, poster_root, read_movielens
from pipelines.datasets.planted.latents import WorldConfig
from pipelines.datasets.tables import read_tables
from pipelines.errors import DatasetError

SYNTHETIC: Final = "synthetic"
DEFAULT_WORLD: Final = WorldConfig()
MOVIELENS: Final = "movielens"
LASTFM: Final = "lastfm"
FRAPPE: Final = "frappe"
# The published sets, each in its folder.
READERS: Final = {MOVIELENS: read_movielens, LASTFM: read_lastfm, FRAPPE: read_frappe}
ACCEPTED: Final = (
    f"{SYNTHETIC}, {', '.join(f'{scheme}:PATH' for scheme in READERS)}, or a folder with dataset.toml, items and events"
)


def open_dataset(
    name_or_path: str,
    *,
    home: Path,
    now: datetime | None = None,
    world: WorldConfig = DEFAULT_WORLD,
    progress: bool = True,
) -> Dataset:
    """The dataset of that name, read and checked; the synthetic one is built under `home` when it is not there.

    Args:
        name_or_path: `synthetic`, a published set such as `movielens:PATH`, or the path of a dataset folder.
        home: where the synthetic dataset lies.
        now: events after it are rejected; by default the clock's.
        world: what the synthetic dataset is made from.
        progress: whether building it shows a bar on a terminal.

    Raises:
        DatasetError: the name is unknown, or the dataset cannot be used.
    """
    moment = now or datetime.now(UTC)
    scheme, folder = _resolve(name_or_path)
    if scheme == SYNTHETIC:
        return read_tables(_built(world, home, progress=progress), now=moment)
    return READERS.get(scheme, read_tables)(folder, now=moment)


def fingerprint(name_or_path: str) -> str:
    """Another text whenever a file of the dataset is another (by path, size and time of change).

    Raises:
        DatasetError: the name is unknown.
    """
    scheme, folder = _resolve(name_or_path)
    if scheme == SYNTHETIC:  # made from nothing but its configuration
        return hashlib.sha256(repr(DEFAULT_WORLD).encode()).hexdigest()
    folders = movielens_folders(folder) if scheme == MOVIELENS else (folder,)
    lines = sorted(line for root in folders for line in _files(root))
    return hashlib.sha256("\n".join([scheme, *lines]).encode()).hexdigest()


def media_root(name_or_path: str, *, home: Path) -> Path:
    """The folder that the paths of the dataset's pictures, sounds and videos are relative to, without reading it.

    Raises:
        DatasetError: the name is unknown, or its folder is gone.
    """
    scheme, folder = _resolve(name_or_path)
    if scheme == SYNTHETIC:
        return home / "datasets" / SYNTHETIC
    return poster_root(folder) if scheme == MOVIELENS else folder


def _resolve(name_or_path: str) -> tuple[str, Path]:
    """The scheme, empty for a folder of one's own, and the folder."""
    scheme, colon, rest = name_or_path.partition(":")
    if name_or_path == SYNTHETIC or (scheme in READERS and rest):
        return scheme, Path(rest).expanduser()
    if not name_or_path or not Path(name_or_path).is_dir():
        what = f"unknown scheme {scheme!r}" if colon else "no such dataset or folder"
        raise DatasetError(f"dataset {name_or_path!r}: {what}; accepted: {ACCEPTED}; name one of these")
    return "", Path(name_or_path)


def _built(world: WorldConfig, home: Path, *, progress: bool) -> Path:
    # Here, as drawing and sound libraries are of no use to any other dataset.
    from pipelines.datasets.synthetic import build_world

    folder = home / "datasets" / SYNTHETIC
    build_world(world, folder, progress=progress)
    return folder


def _files(root: Path) -> Iterator[str]:
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".")]  # a home inside the dataset is none of it
        for name in names:
            status = (Path(folder) / name).lstat()
            yield f"{folder}/{name} {status.st_size} {status.st_mtime_ns}"
