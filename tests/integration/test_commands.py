"""What the commands print, for people and for programs."""

import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from feature_repo.settings import Settings
from pipelines.workspace import Workspace
from ranking.evaluation.warehouse import Warehouse
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.help_wanted import help_wanted_table


def test_evaluate_prints_the_contract(home, trichord):
    report = json.loads(trichord("evaluate", "--json", home=home).stdout)
    assert report["k"] == 10 and report["release"]
    assert set(report["protocols"]) == {"p1", "p2", "p3"}
    found = report["protocols"]["p2"]
    for name in ("popular", "popular_windowed", "item_knn", "ease", "ials", "content", "hybrid", "oracle"):
        assert {"ndcg@10", "recall@10", "recall@50", "recall@200", "mrr@10", "coverage@10", "fit_s"} <= set(
            found["models"][name]
        )
        assert set(found["models"][name]["ci95"]) == {"ndcg@10"}
    assert {"baseline", "relative", "ci95"} <= set(found["hybrid_vs_best_baseline"])
    assert {"warm_items", "cold_items"} <= set(found["slices"])
    assert set(found["ablation"]) == {"text", "image", "audio", "behaviour", "context", "routes"}
    assert {"ndcg@10", "relative", "ci95", "warm_items"} <= set(found["ablation"]["image"])
    assert report["cross_modal"] == []  # too few items
    assert Path(report["item_map"]["path"]).read_bytes().startswith(b"\x89PNG")


def test_evaluate_shows_the_space_to_people(home, trichord):
    shown = trichord("evaluate", home=home).stdout
    assert "NDCG@10 of the hybrid without a part" in shown
    assert "no recall from one modality to another" in shown
    assert str(home / "reports" / "item_map.png") in shown


def test_export_holds_what_a_stranger_needs_to_measure_again(home, trichord, tmp_path):
    done = trichord("evaluate", "--export", str(tmp_path / "export"), home=home)
    assert done.returncode == 0, done.stderr
    split = pq.read_table(tmp_path / "export" / "p2" / "split.parquet")
    assert {"user_id", "item_id", "occurred_at", "relevant", "part"} <= set(split.column_names)
    ranking = pq.read_table(tmp_path / "export" / "p2" / "hybrid.parquet")
    assert {"user_id", "item_id", "rank", "score"} <= set(ranking.column_names)


def test_recommend_prints_the_contract(home, trichord):
    done = trichord("recommend", "u00001", "-k", "5", "--context", "device=phone", "--explain", "--json", home=home)
    answer = json.loads(done.stdout)
    assert answer["user_id"] == "u00001" and answer["fallbacks"] == []
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3, 4, 5]
    for item in answer["items"]:
        assert {"item_id", "score", "propensity", "sources", "reasons", "rules"} <= set(item)
        assert item["reasons"]
    assert set(answer["timings_ms"]) == {"features", "candidates", "rank", "strategy", "total"}


def test_features_are_those_of_the_online_store(home, trichord):
    found = json.loads(trichord("features", "user_id=u00001", "--json", home=home).stdout)
    assert "user_interactions" in found["features"]


@pytest.fixture
def wanting(home, tmp_path):
    """A copy of the home, as if all heads helped to find new items' audiences; of so few items, it may be text alone.

    No item lacks a text, so that nothing would be wanted.
    """
    workspace = Workspace(Settings(home=shutil.copytree(home, tmp_path / "home", symlinks=True)))
    content = workspace.content
    mapping = FactorMapping.load(workspace.home.folder("alignment_model") / "factor_mapping")
    mapping = replace(mapping, choice=replace(mapping.choice, heads=tuple(mapping.inputs.of(content))))
    now = round(workspace.clock.timestamp() * 1e6)
    with Warehouse(workspace.settings.warehouse) as warehouse:
        warehouse.write_help_wanted(
            help_wanted_table(mapping, content, workspace.interactions, workspace.items, now=now)
        )
    return workspace.settings.home


def test_wanted_names_the_items_that_help_would_tell_most_of(wanting, trichord):
    items = json.loads(trichord("wanted", "-n", "5", "--json", home=wanting).stdout)["items"]
    assert [item["rank"] for item in items] == [1, 2, 3, 4, 5]
    for item in items:
        named = {"item_id", "title", "missing", "unclear", "uncertainty", "gain", "demand", "score", "reason"}
        assert named <= set(item)
        assert item["missing"] or item["unclear"]
    shown = trichord.anew("wanted", "-n", "5", home=wanting).stdout
    assert all(item["item_id"] in shown for item in items)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("recommend", "nobody-of-that-name"), "nobody-of-that-name"),
        (("recommend", "u00001", "--context", "weather=rain"), "weather"),
        (("recommend", "u00001", "--context", "at=yesterday"), "yesterday"),
        (("features", "item_id=no-such-item"), "no-such-item"),
        (("features", "planet=mars"), "planet"),
        (("releases", "promote", "no-such-release"), "no-such-release"),
        (("run", "--dataset", "no/such/folder"), "no/such/folder"),
        (("tune", "models", "--minutes", "0"), "--minutes 0"),
        (("tune", "models", "--minutes", "nan"), "--minutes nan"),
        (("tune", "models", "--protocol", "p9"), "p9"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(home, trichord, arguments, named):
    done = trichord(*arguments, home=home)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_command_before_any_run_says_what_to_do(trichord, tmp_path):
    for arguments in (("evaluate",), ("recommend", "u1"), ("serve",), ("wanted",), ("tune", "models")):
        done = trichord(*arguments, home=tmp_path / "empty")
        assert done.returncode == 2
        assert "trichord run" in done.stderr


def test_similar_finds_by_item_and_by_content(home, trichord):
    items = pq.read_table(home / "lake" / "items" / "table.parquet").to_pylist()
    pictured = next(item for item in items if item["image"] and item["description"])
    media = json.loads((home / "dataset.json").read_text())["dataset"]
    near = json.loads(trichord("similar", "--item", pictured["item_id"], "-k", "5", "--json", home=home).stdout)
    assert near["by"] == "all" and near["release"] and [item["rank"] for item in near["items"]] == [1, 2, 3, 4, 5]
    asked = ("--text", pictured["description"], "--by", "text")
    by_text = trichord.anew("similar", *asked, "-k", "50", "--json", home=home)
    assert pictured["item_id"] in [item["item_id"] for item in json.loads(by_text.stdout)["items"]], by_text.stderr
    picture = f"{media}/{pictured['image']}"
    (first, *_) = json.loads(trichord("similar", "--image", picture, "--by", "image", "--json", home=home).stdout)[
        "items"
    ]
    assert first["score"] == pytest.approx(1, abs=1e-3)  # the picture of an item is that item


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((), "nothing given"),
        (("--item", "i00001", "--text", "tea"), "--item and --text"),
        (("--item", "nobody"), "nobody"),
        (("--image", "/nowhere.png"), "/nowhere.png"),
        (("--image", __file__), "picture"),
    ],
)
def test_similar_says_in_one_line_what_it_cannot_do(home, trichord, arguments, named):
    done = trichord("similar", *arguments, home=home)
    assert done.returncode == 2
    assert named in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_search_of_models_that_is_interrupted_says_what_it_kept_and_goes_on(home, trichord, tmp_path):
    copy = shutil.copytree(home, tmp_path / "home", symlinks=True)
    words = ["tune", "models", "--home", str(copy), "--part", "models", "--part", "ranker", "--minutes"]
    process = trichord.start(*words, "30", output=subprocess.PIPE)
    journal = copy / "trials.jsonl"
    while process.poll() is None and not (journal.exists() and journal.read_text().count('"state":1') > 3):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    shown, errors = (one.decode() for one in process.communicate(timeout=600))
    assert process.returncode == 130, errors
    assert "interrupted: what was finished is kept" in shown
    assert "Traceback" not in errors
    kept = journal.read_text().count('"state":1')
    for _ in range(20):  # on a busy machine the ranker's turn comes late
        done = trichord(*words, "0.2", "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert not found["interrupted"]
        if "ranker" in found["models"]:
            break
    assert found["models"]["ranker"]["trials"] > 0
    assert sum(one["trials"] for one in found["models"].values()) > kept
