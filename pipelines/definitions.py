"""Everything that Dagster shows and runs: `dagster dev -m pipelines.definitions`, `dg dev`, and the command line."""

from collections.abc import Iterator

import dagster as dg

from feature_repo.settings import load_settings
from pipelines.assets import (
    data,
    embeddings,
    evaluation,
    features,
    help_wanted,
    models,
    release,
    representation,
    space_report,
)
from pipelines.checks import CHECKS
from pipelines.schedules import JOBS, SCHEDULES, SENSORS
from pipelines.workspace import Workspace


@dg.resource(description="The home folder, held for the length of a run, and the dataset of that home.")
def workspace(context: dg.InitResourceContext) -> Iterator[Workspace]:
    """A workspace by the settings: `trichord.toml` and `TRICHORD_*` variables."""
    one = Workspace(load_settings())
    with one.home.lock():
        yield one


def definitions(workspace: dg.ResourceDefinition) -> dg.Definitions:
    """All assets, checks, jobs, schedules and sensors over a workspace.

    Steps run in one process: a process a step costs seven seconds with Feast, and DuckDB has one writer.
    """
    return dg.Definitions(
        assets=dg.load_assets_from_modules(
            [data, embeddings, representation, features, models, evaluation, help_wanted, space_report, release]
        ),
        asset_checks=CHECKS,
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=SENSORS,
        resources={"workspace": workspace},
        executor=dg.in_process_executor,
    )


defs = definitions(workspace)
