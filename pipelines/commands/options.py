"""What several commands take, and what it stands for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from feature_repo.settings import Settings

Home = Annotated[Path | None, typer.Option(help="Everything that is written lies here.", envvar="TRICHORD_HOME")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def settings_of(home: Path | None) -> "Settings":
    """The deployment in a home, or in the one that variables or `trichord.toml` name."""
    from feature_repo.settings import load_settings

    return load_settings(home)


@contextmanager
def locked(home: Path | None) -> "Iterator[Settings]":
    """The same, held against any other process that writes to it."""
    from pipelines.home import Home as HomeFolder

    settings = settings_of(home)
    with HomeFolder(settings).lock():
        yield settings


def wide_console() -> Console:
    """For tables: as wide as the terminal, or wide enough for any where output goes to a file."""
    return Console(width=None if sys.stdout.isatty() else 140)
