"""When things run: features hourly, models daily, features whenever the dataset's files change; and backfills.

A run takes what there is up to the data's own clock, however many ticks were missed before it.
"""

import dagster as dg

from feature_repo.backfill import backfill
from feature_repo.compute import BEHAVIOUR
from feature_repo.settings import load_settings
from pipelines.assets.features import refresh_later
from pipelines.workspace import Workspace

DAYS = dg.DailyPartitionsDefinition(start_date="1970-01-01", end_offset=1)  # up to and with today, UTC

FEATURES = dg.AssetSelection.assets(
    "items", "users", "event_log", "events", *BEHAVIOUR, "item_content", "feature_registry", "online_features"
)

everything = dg.define_asset_job("everything", selection=dg.AssetSelection.all())
refresh_features = dg.define_asset_job(
    "refresh_features", selection=FEATURES, description="New events into features, and those online."
)

hourly_features = dg.ScheduleDefinition(
    name="hourly_features", job=refresh_features, cron_schedule="5 * * * *", execution_timezone="UTC"
)
daily_models = dg.ScheduleDefinition(
    name="daily_models", job=everything, cron_schedule="30 3 * * *", execution_timezone="UTC"
)


@dg.sensor(job=refresh_features, minimum_interval_seconds=60)
def new_event_files(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """Refresh the features when a file of the dataset has been added or changed."""
    found = Workspace(load_settings()).dataset_fingerprint
    if found == context.cursor:
        return dg.SkipReason("no file of the dataset has changed")
    context.update_cursor(found)
    return dg.RunRequest()  # no run key: files may return to a state that they were in before


@dg.op
def write_online_again(context: dg.OpExecutionContext, workspace: dg.ResourceParam[Workspace]) -> None:
    """Rows of the run's days that are the latest of their entities, and what apps have posted since."""
    days, clock = context.partition_time_window, workspace.clock
    written = backfill(workspace.store, days.start, days.end, clock=clock)
    context.log.info(f"{days.start:%Y-%m-%d} to {days.end:%Y-%m-%d}: {written}")
    refresh_later(workspace, clock)


@dg.job(partitions_def=DAYS, description="Write online again what changed on some days, in any order of the days.")
def backfill_online() -> None:
    """One run a day, or one over a range of them."""
    write_online_again()


JOBS = (everything, refresh_features, backfill_online)
SCHEDULES = [hourly_features, daily_models]
SENSORS = [new_event_files]
