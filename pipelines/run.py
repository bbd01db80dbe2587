"""One run of the whole pipeline in this process, as the command line does it."""

from pathlib import Path
from typing import Final

import dagster as dg

from pipelines.definitions import definitions
from pipelines.errors import SuiteError
from pipelines.workspace import Workspace
from ranking.candidates.threads import one_blas_thread

INSTANCE: Final = "telemetry:\n  enabled: false\n"
QUIET: Final = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def run(workspace: Workspace, *, job: str = "everything") -> None:
    """Run a job on a workspace, holding its home; raises what the failing asset raised, `SuiteError` for a suite.

    Linear algebra keeps to one thread: what can be done at one time is done by whole pieces of work, and two threads of
    one matrix wait for each other as soon as anything else is on a core (principal components of 1,280 columns took
    4.7 s of two cores' time, and .6 s of one).

    Runs are kept under HOME/dagster: `DAGSTER_HOME=HOME/dagster dagster dev -m pipelines.definitions` shows them.
    """
    with workspace.home.lock(), one_blas_thread(), _instance(workspace.settings.home / "dagster") as instance:
        workspace.remember_dataset()
        defs = definitions(dg.ResourceDefinition.hardcoded_resource(workspace))
        try:
            defs.resolve_job_def(job).execute_in_process(instance=instance, run_config=QUIET)
        except dg.DagsterError as error:
            if workspace.refused is None:
                raise (error.__cause__ or error) from None  # what the asset raised
    if workspace.refused is not None:
        raise SuiteError(workspace.refused)


def _instance(folder: Path) -> dg.DagsterInstance:
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(INSTANCE)
    return dg.DagsterInstance.from_config(str(folder))
