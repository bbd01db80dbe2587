"""One small planted world, run through the whole pipeline once for all integration tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.datasets.planted.latents import SMALL
from pipelines.datasets.synthetic import build_world
from tests.command_line import run_command

COMMAND = [sys.executable, "-c", "from pipelines.cli import main; main()"]


class Trichord:
    """The command line in processes of its own."""

    def __call__(self, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        return run_command(arguments, self._environment(home))

    def anew(self, *arguments: str, home: Path | None = None) -> subprocess.CompletedProcess[str]:
        """In a new interpreter, as users run it; every command is run so by one test at least."""
        environment = self._environment(home)
        return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, env=environment, timeout=1800)

    def start(self, *arguments: str, output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """It hears an interrupt even where the tests themselves run in the background, which ignores them."""
        command = [*COMMAND, *arguments]
        heard = signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is ignored here would be ignored there
        try:
            return subprocess.Popen(command, stdout=output, stderr=output)
        finally:
            signal.signal(signal.SIGINT, heard)

    @staticmethod
    def _environment(home: Path | None) -> dict[str, str]:
        # One request in a hundred would be logged, and the tests share a home: what one drew, others would find.
        return dict(os.environ) | {"TRICHORD_SERVED_SHARE": "0"} | ({"TRICHORD_HOME": str(home)} if home else {})


@pytest.fixture(scope="session")
def trichord():
    return Trichord()


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """The dataset folder of a small planted world."""
    folder = tmp_path_factory.mktemp("world") / "small"
    build_world(SMALL, folder)
    return folder


@pytest.fixture(scope="session")
def home(world, trichord, tmp_path_factory):
    """A home on which `trichord run` has run."""
    folder = tmp_path_factory.mktemp("home") / "home"
    done = trichord.anew("run", "--dataset", str(world), "--home", str(folder))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder
