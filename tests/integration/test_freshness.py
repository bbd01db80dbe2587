"""Features by the data's clock: ticks that were missed, an online store that was emptied, days written again."""

import json
import shutil
from datetime import timedelta

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from feature_repo import schema
from feature_repo.freshness import freshness
from feature_repo.settings import Settings
from pipelines.definitions import definitions
from pipelines.run import run
from pipelines.workspace import Workspace
from ranking.serving.engine import Engine

HOUR = timedelta(hours=1)


@pytest.fixture
def settings(home, tmp_path):
    """A copy of the home that a test may change."""
    return Settings(home=shutil.copytree(home, tmp_path / "home", symlinks=True))


def refreshed(settings, wall):
    """The workspace after the hourly job at a moment of the wall clock."""
    workspace = Workspace(settings, wall=lambda: wall)
    run(workspace, job="refresh_features")
    return workspace


def states(workspace):
    return {one.view: one.ok for one in freshness(workspace.store, clock=workspace.wall())}


def sample(workspace):
    """Some users and items online and offline at the clock, equal in every feature or not."""
    events = workspace.events.slice(len(workspace.events) - 40)
    users, items = (pc.unique(events[key]).to_pylist()[:5] for key in (schema.USER_ID, schema.ITEM_ID))
    at = workspace.clock
    moments = dict.fromkeys(["event_timestamp", "requested_at"], pa.array([at] * len(items), schema.TIMESTAMP))
    nothing = dict.fromkeys(["device", "place"], pa.nulls(len(items), pa.string()))
    names = workspace.store.feature_columns("ranking_v1").names
    for user in users:
        asked = pa.table({"user_id": [user] * len(items), "item_id": items, **moments, **nothing})
        online = workspace.store.online_frame(user, items, at=at)
        yield online.select(names).replace_schema_metadata(), workspace.store.training_frame(asked).select(names)


def test_one_run_makes_up_for_the_ticks_that_were_missed(settings):
    last = Workspace(settings).clock
    first = refreshed(settings, last + HOUR)
    assert all(states(first).values())
    late = Workspace(settings, wall=lambda: last + 4 * HOUR)
    assert not any(states(late).values())
    assert Engine(settings, wall=late.wall).now() == last + 4 * HOUR
    after = refreshed(settings, last + 4 * HOUR)
    assert after.clock == (last + 4 * HOUR).replace(minute=0, second=0, microsecond=0)
    assert all(states(after).values())
    for online, offline in sample(after):
        assert online == offline


def test_dagster_shows_the_freshness_and_checks_it(settings):
    workspace = refreshed(settings, Workspace(settings).clock + HOUR)
    with dg.DagsterInstance.from_config(str(settings.home / "dagster")) as instance:
        asset = dg.AssetKey("online_features")
        shown = instance.get_latest_materialization_event(asset).asset_materialization.metadata["freshness"].value
        key = dg.AssetCheckKey(asset, "fresh")
        checked = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert shown == {one.view: one.to_json() for one in freshness(workspace.store, clock=workspace.clock)}
    assert {one["state"] for one in shown.values()} == {"ok"}
    assert checked.event.dagster_event.asset_check_evaluation_data.passed


def test_an_online_store_that_was_emptied_is_filled_by_the_next_run(settings):
    clock = Workspace(settings).clock
    refreshed(settings, clock)
    shutil.rmtree(settings.home / "online")
    after = refreshed(settings, clock)
    assert all(states(after).values())
    for online, offline in sample(after):
        assert online == offline


def test_a_day_can_be_written_online_again_by_its_partition(settings):
    workspace = Workspace(settings)
    day = (workspace.clock - timedelta(microseconds=1)).date().isoformat()
    before = [online for online, _ in sample(workspace)]
    defs = definitions(dg.ResourceDefinition.hardcoded_resource(workspace))
    done = defs.resolve_job_def("backfill_online").execute_in_process(partition_key=day)
    assert done.success
    assert [online for online, _ in sample(workspace)] == before


def test_the_command_shows_every_view(home, trichord):
    report = json.loads(trichord("features", "--freshness", "--json", home=home).stdout)
    assert len(report["views"]) == 7
    assert {view["state"] for view in report["views"]} == {"ok"}
    assert {view["materialized_until"] for view in report["views"]} == {report["clock"]}
    shown = trichord("features", "--freshness", home=home).stdout
    assert all(view["view"] in shown for view in report["views"])
