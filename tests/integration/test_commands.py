"""What the commands print, for people and for programs."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest


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
    assert set(found["ablation"]) == {"text", "image", "audio", "behaviour", "context"}
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
    ],
)
def test_bad_input_is_one_line_and_exit_2(home, trichord, arguments, named):
    done = trichord(*arguments, home=home)
    assert done.returncode == 2
    assert named in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_command_before_any_run_says_what_to_do(trichord, tmp_path):
    for arguments in (("evaluate",), ("recommend", "u1"), ("serve",)):
        done = trichord(*arguments, home=tmp_path / "empty")
        assert done.returncode == 2
        assert "trichord run" in done.stderr
