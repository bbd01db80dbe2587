"""When things run: features hourly, models daily, and features whenever the dataset's files change."""

import dagster as dg

from feature_repo.compute import BEHAVIOUR
from feature_repo.settings import load_settings
from pipelines.workspace import Workspace

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


JOBS = [everything, refresh_features]
SCHEDULES = [hourly_features, daily_models]
SENSORS = [new_event_files]
