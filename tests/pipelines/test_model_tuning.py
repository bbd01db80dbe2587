"""`trichord tune models` on a small home, and what the next run makes of it."""

import itertools
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.schema import EventKind, Modality
from feature_repo.settings import Settings
from pipelines.assets import models as assets
from pipelines.errors import DatasetError, HomeError
from pipelines.model_tuning import Part, lines, report, table, tune_models
from pipelines.searched import ranker_of, searched_on
from pipelines.workspace import Workspace
from ranking.artifacts import load_as
from ranking.errors import TuningError
from ranking.rankers.blend import BlendConfig
from ranking.representation.embedding_store import embedding_table
from ranking.splits import Protocol
from ranking.strategy import grids
from ranking.strategy.model_search import TRIALS
from ranking.strategy.search_spaces import SPACES
from ranking.strategy.study import JOURNAL
from ranking.strategy.tuned import TunedModels
from tests.kinds import write_kinds

PAGE = Path(__file__).parents[2] / "docs" / "tuning.md"
USERS, ITEMS = 30, 40
OTHERS = len(SPACES) - 1  # popular has but two configurations


def turns(n: int) -> tuple[float, Callable[[], float]]:
    """Minutes and a clock by which `n` trials of models are made, which ask it once before each and twice after it.

    Before the first the clock is asked five times.
    """
    ticks = itertools.count()
    return n / 60, lambda: float(next(ticks))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """As a run leaves a home, as far as models are tuned: items, users, events, vectors of texts."""
    draw = np.random.default_rng(0)
    workspace = Workspace(Settings(home=tmp_path / "home"), dataset="small")
    item_ids = [f"i{one:02}" for one in range(ITEMS)]
    items = pa.Table.from_pylist([{"item_id": one, "categories": []} for one in item_ids], schema.ITEMS)
    rows = [
        {"user_id": f"u{user:02}", "item_id": item_ids[item], "kind": "click"}
        for user in range(USERS)
        for item in draw.permutation(np.arange(user % 2, ITEMS, 2))[:15]
    ]
    start = datetime(2024, 1, 1, tzinfo=UTC)
    places = draw.permutation(len(rows)).tolist()
    for number, (row, place) in enumerate(zip(rows, places, strict=True)):
        row |= {"event_id": f"e{number:03}", "occurred_at": start + timedelta(hours=place)}
    rows.sort(key=lambda row: row["occurred_at"])
    events = label_events(pa.Table.from_pylist(rows, schema.EVENTS), (EventKind("click"),))
    users = pa.Table.from_pylist([{"user_id": f"u{one:02}"} for one in range(USERS)], schema.USERS)
    vectors = draw.normal(size=(ITEMS, 4)).astype(np.float32)
    embeddings = {
        one: embedding_table(item_ids, item_ids, vectors, modality=one, encoder_id="e").slice(
            0, ITEMS if one is Modality.TEXT else 0
        )
        for one in Modality
    }
    workspace.home.prepare()
    tables = {"items": items, "events": events, "users": users}
    for name, rows_ in (tables | {f"{one}_embeddings": found for one, found in embeddings.items()}).items():
        workspace.build(name, lambda folder, rows_=rows_: workspace.home.write(folder, rows_) or {})
    write_kinds(workspace, EventKind("click"))
    return workspace


def ask(workspace: Workspace, query: str) -> list[tuple[object, ...]]:
    with duckdb.connect(workspace.settings.warehouse, read_only=True) as db:
        return db.sql(query).fetchall()


def tuned(workspace: Workspace, protocol: Protocol = Protocol.P2) -> TunedModels:
    return load_as(workspace.home.folder("tuned_models") / f"{protocol}.json", TunedModels)


def again(workspace: Workspace) -> Workspace:
    """As a later command opens it."""
    return Workspace(workspace.settings, dataset="small")


def test_the_trials_of_every_home_are_in_the_warehouse(workspace: Workspace) -> None:
    assets.tuned_models(workspace=workspace)
    assert tuned(workspace).trials == TRIALS
    found = dict(ask(workspace, "select model, count(*) from trials where protocol = 'p2' group by all"))
    assert found == {name: 2 if name == "popular" else TRIALS for name in SPACES}
    assert ask(workspace, "select count(*) from trials where state <> 'complete' or value is null") == [(0,)]
    assert ask(workspace, "select count(*) from winners where searched or value <> reference") == [(0,)]
    assert not (workspace.settings.home / JOURNAL).exists()
    for query in re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        assert ask(workspace, query)


def test_a_run_uses_what_a_search_found_and_is_not_made_anew_for_nothing(workspace: Workspace) -> None:
    assets.tuned_models(workspace=workspace)
    minutes, clock = turns(3 * (2 + 13 * OTHERS))
    found = tune_models(again(workspace), Protocol.P2, [Part.MODELS], minutes=minutes, clock=clock)
    trials = {name: one.trials for name, one in found.models.items()}
    assert trials.pop("popular") == 2
    assert max(trials.values()) - min(trials.values()) <= 1
    assert min(trials.values()) > TRIALS
    rows = dict(ask(workspace, "select model, count(*) from trials where protocol = 'p2' group by all"))
    assert rows == {name: one.trials for name, one in found.models.items()}

    later = again(workspace)
    assets.tuned_models(workspace=later)
    won = {name for name, one in found.models.items() if one.searched}
    used = tuned(later)
    assert used.searched == tuple(name for name in grids.TUNERS if name in won)
    assert won  # on this world something always beats the grid, or the test would show nothing
    assert used.trials == min(trials.values())
    for name in won:
        assert used.validation_ndcg[name] == found.models[name].chosen > found.models[name].reference
        (winner,) = ask(
            later, f"select searched, value, trials from winners where protocol = 'p2' and model = '{name}'"
        )
        assert winner == (True, found.models[name].chosen, used.trials)
    assert tuned(later, Protocol.P3).trials == TRIALS  # nobody has searched there

    stamp = later.home.stamp("tuned_models")
    assets.tuned_models(workspace=again(workspace))
    assert later.home.stamp("tuned_models") == stamp


def test_a_search_on_other_data_changes_nothing(workspace: Workspace) -> None:
    minutes, clock = turns(3 * (2 + OTHERS))
    tune_models(again(workspace), Protocol.P2, [Part.MODELS], minutes=minutes, clock=clock)
    events = workspace.events.slice(1)
    workspace.build("events", lambda folder: workspace.home.write(folder, events) or {}, config={"later": True})
    later = again(workspace)
    assert searched_on(later, Protocol.P2) == []
    assets.tuned_models(workspace=later)
    assert (tuned(later).trials, tuned(later).searched) == (TRIALS, ())


def test_parts_share_the_minutes_and_say_what_was_left_out(workspace: Workspace) -> None:
    minutes, clock = turns(60)
    found = tune_models(workspace, Protocol.P1, [*Part], minutes=minutes, clock=clock)
    assert set(found.models) == set(SPACES)
    assert [one.partition(":")[0] for one in found.left_out] == ["ranker", "alignment"]
    assert json.loads(json.dumps(report(found)))["protocol"] == "p1"
    assert [row[0] for row in zip(table(found).columns[0].cells, strict=True)] == list(SPACES)
    assert any("trichord run" in line for line in lines(found, workspace.settings))
    assert ranker_of(workspace, Protocol.P1, BlendConfig()) == BlendConfig()
    assert list((workspace.settings.home / "searches").rglob("events.out.tfevents.*"))


def test_a_damaged_journal_stops_search_and_run_in_one_line(workspace: Workspace) -> None:
    (workspace.settings.home / JOURNAL).write_text("{\n")
    with pytest.raises(TuningError, match="line 1 is damaged"):
        tune_models(workspace, Protocol.P2, [Part.MODELS], minutes=1)
    with pytest.raises(TuningError, match="line 1 is damaged"):
        assets.tuned_models(workspace=again(workspace))


def test_a_home_that_is_empty_or_too_small_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(HomeError, match="trichord run"):
        tune_models(Workspace(Settings(home=tmp_path / "none")), Protocol.P2, [Part.MODELS], minutes=1)
    assert not (tmp_path / "none").exists()
    events = workspace.events.slice(0, 4)
    workspace.build("events", lambda folder: workspace.home.write(folder, events) or {}, config={"few": True})
    with pytest.raises(DatasetError, match="4 interactions are too few"):
        tune_models(again(workspace), Protocol.P2, [Part.MODELS], minutes=1)
