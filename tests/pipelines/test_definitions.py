"""What Dagster is shown: every asset, a blocking suite on every table, jobs, schedules and the sensor."""

import os
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pipelines import checks
from pipelines.definitions import defs
from pipelines.schedules import new_event_files

TABLES = {
    *("items", "users", "events", "text_embeddings", "image_embeddings", "audio_embeddings", "user_activity"),
    *("user_item_affinity", "item_popularity", "item_context", "item_content", "item_vectors", "user_vectors"),
    *("vector_index", "offline_evaluation"),
}
ASSETS = TABLES | {
    *("event_log", "alignment_model", "feature_registry", "online_features", "tuned_models"),
    *("collaborative_models", "candidate_sets", "training_set", "lambdarank_model", "help_wanted", "space_report"),
    "release",
}
BEFORE_ONLINE = TABLES - {"offline_evaluation"}


@pytest.fixture(scope="module")
def graph():
    return defs.resolve_asset_graph()


def above(graph, name: str) -> set[str]:
    """Every asset that this one is made from, near or far."""
    found, waiting = set(), [dg.AssetKey(name)]
    while waiting:
        for parent in graph.get(waiting.pop()).parent_keys:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return {key.to_user_string() for key in found}


def test_the_definitions_are_loadable():
    dg.Definitions.validate_loadable(defs)


def test_all_assets_are_there_and_described(graph):
    found = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert found == ASSETS
    assert all(graph.get(dg.AssetKey(name)).description for name in found)
    assert all(graph.get(dg.AssetKey(name)).group_name != "default" for name in found)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_has_a_blocking_suite(graph, table: str):
    key = dg.AssetCheckKey(dg.AssetKey(table), "suite")
    assert key in graph.asset_check_keys
    assert {spec.key: spec.blocking for one in checks.CHECKS for spec in one.check_specs}[key]


def test_served_vectors_are_compared_without_stopping_anything(graph):
    key = dg.AssetCheckKey(dg.AssetKey("online_features"), "parity")
    assert not {spec.key: spec.blocking for one in checks.CHECKS for spec in one.check_specs}[key]


def test_nothing_unchecked_goes_online_or_is_released(graph):
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys if key.name == "suite"}
    assert checked == TABLES
    assert above(graph, "online_features") >= BEFORE_ONLINE
    assert above(graph, "release") >= checked | {"online_features", "lambdarank_model", "collaborative_models"}


def test_the_ranker_is_taught_by_the_feature_store_and_by_candidates_of_the_past(graph):
    taught = above(graph, "lambdarank_model")
    assert {"training_set", "candidate_sets", "feature_registry", "user_activity", "item_popularity"} <= taught
    assert not taught & {"online_features", "offline_evaluation", "release", "collaborative_models"}


def test_the_job_of_everything_makes_everything(graph):
    selected = defs.resolve_job_def("everything").asset_layer.executable_asset_keys
    assert selected == graph.get_all_asset_keys()


def test_the_job_of_features_trains_nothing():
    selected = {
        key.to_user_string() for key in defs.resolve_job_def("refresh_features").asset_layer.executable_asset_keys
    }
    assert {"event_log", "events", "user_activity", "item_context", "online_features"} <= selected
    assert not selected & {"alignment_model", "text_embeddings", "lambdarank_model", "release"}


def test_features_run_hourly_and_models_daily():
    schedules = {one.name: one for one in defs.schedules}
    hourly, daily = schedules["hourly_features"], schedules["daily_models"]
    assert (hourly.job_name, hourly.cron_schedule) == ("refresh_features", "5 * * * *")
    assert (daily.job_name, daily.cron_schedule) == ("everything", "30 3 * * *")
    assert {one.execution_timezone for one in schedules.values()} == {"UTC"}


def test_freshness_is_checked_whenever_features_go_online():
    for job in ("refresh_features", "everything"):
        assert "online_features_fresh" in {node.name for node in defs.resolve_job_def(job).nodes}


def test_a_backfill_has_a_partition_for_every_day_up_to_today():
    days = defs.resolve_job_def("backfill_online").partitions_def
    keys = days.get_partition_keys(current_time=datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert (keys[0], keys[-1]) == ("1970-01-01", "2026-03-01")


def test_a_file_of_the_dataset_that_changes_asks_for_a_run_once(tmp_path: Path, monkeypatch):
    data = tmp_path / "shop"
    data.mkdir()
    events = data / "events.csv"
    events.write_text("user_id,item_id,kind,occurred_at\n")
    monkeypatch.setenv("TRICHORD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TRICHORD_DATASET", str(data))

    def tick(cursor: str | None) -> tuple[bool, str]:
        with dg.build_sensor_context(cursor=cursor) as context:
            return isinstance(new_event_files(context), dg.RunRequest), context.cursor

    asked, first = tick(None)
    assert asked
    assert tick(first) == (False, first)
    os.utime(events, (1, 1))
    asked, touched = tick(first)
    assert asked
    events.write_text("user_id,item_id,kind,occurred_at\nu,a,buy,10\n")
    asked, later = tick(touched)
    assert asked
    events.write_text("user_id,item_id,kind,occurred_at\n")
    os.utime(events, (1, 1))
    assert tick(later) == (True, touched)  # back to an earlier state: that is news too
    (data / "more").mkdir()
    (data / "more" / "events.csv").write_text("")
    assert tick(touched)[0]
