"""Commands in processes of their own, which share the seconds of imports that each would begin with."""

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(  # into a clean process, which is forked for every command and never runs one itself
    [
        "pipelines.answers",
        "pipelines.cli",
        "pipelines.parity",
        "pipelines.similar",
        "ranking.evaluation.export",
        "ranking.evaluation.report",
        "ranking.evaluation.space_report",
        "ranking.evaluation.table",
        "ranking.evaluation.page",
        "ranking.serving.engine",
        "feature_repo.stores.arrow_engine",
        "feature_repo.stores.packed",
        "feast.infra.offline_stores.duckdb",
        "faiss",
        "lightgbm",
        "onnxruntime",
        "torch",
        "transformers",
    ]
)
_STREAMS = {1: "out", 2: "err"}
_TIMEOUT_S = 1800  # against waiting for ever: a busy machine may take ten minutes over a run


def run_command(arguments: tuple[str, ...], environment: Mapping[str, str]) -> CompletedProcess[str]:
    """What the command line did with arguments and an environment, as `subprocess.run` tells it."""
    with TemporaryDirectory() as folder:
        process = _SERVER.Process(target=_become, args=(arguments, dict(environment), Path(folder)))
        process.start()
        process.join(_TIMEOUT_S)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"trichord {' '.join(arguments)}: not done after {_TIMEOUT_S} s")
        code = process.exitcode
        process.close()
        out, err = ((Path(folder) / name).read_text() for name in _STREAMS.values())
    return CompletedProcess(arguments, code, out, err)


def _become(arguments: tuple[str, ...], environment: dict[str, str], folder: Path) -> None:
    """Be the command: what it prints goes into two files, and it ends the process itself."""
    from pipelines.cli import main

    for descriptor, name in _STREAMS.items():
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["trichord", *arguments]
    main()
