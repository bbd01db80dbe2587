import io
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from ranking.candidates.full_ranking import unseen
from ranking.candidates.generator import top_k
from ranking.candidates.reach import Gift, Reach
from ranking.errors import ArtifactError
from ranking.evaluation import report
from ranking.evaluation.comparisons import store_comparisons
from ranking.evaluation.export import export
from ranking.evaluation.plots import plot
from ranking.evaluation.report import build_report
from ranking.evaluation.table import tables
from ranking.evaluation.warehouse import Warehouse
from ranking.splits import Protocol, Split, split
from ranking.types import IdIndex, Interactions

N_ITEMS = 30
NOISE = {"hybrid": 0.5, "hybrid-text": 2.0, "hybrid-image": 0.5, "oracle": 0.0, "ease": 1.0, "popular": 3.0}
REPLICATES = {"hybrid@1": 0.5, "hybrid@2": 0.6}
VALIDATION = {"ease": 0.2, "popular": 0.3}  # as if the search had been misled
USERS = pa.table({"user_id": [f"u{i:02}" for i in range(20)], "gender": ["F" if i % 2 else "M" for i in range(20)]})


def log() -> Interactions:
    """Twenty users; the last three come late and have no history under one cutoff."""
    draw = np.random.default_rng(7)
    user = np.concatenate([draw.integers(0, 17, 240), draw.integers(0, 20, 60)])
    n = len(user)
    return Interactions(
        users=IdIndex(tuple(f"u{i:02}" for i in range(20))),
        items=IdIndex(tuple(f"i{i:02}" for i in range(N_ITEMS))),
        user=user.astype(np.int32),
        item=draw.integers(0, N_ITEMS, n).astype(np.int32),
        occurred_at=np.arange(n, dtype=np.int64) * 3_600_000_000,
        weight=np.ones(n, np.float32),
        positive=draw.uniform(size=n) < 0.8,
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


def rankings_of(divided: Split, noise: float, seed: int):
    """The truth and noise over it."""
    draw = np.random.default_rng(seed)
    scores = divided.relevant.toarray() + noise * draw.normal(size=(len(divided.queries), N_ITEMS))
    return top_k(unseen(scores.astype(np.float32), divided.queries), N_ITEMS)


REACH = Reach(
    k=50,
    queries=9,
    gifts={"popular": Gift(0.3, -0.1, 2, 0.25), "ease": Gift(0.5, 0.25, 7, 0.75)},
    by_budget={"union": {25: 0.4, 50: 0.8}, "ease": {25: 0.2, 50: 0.5}},
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory):
    path = tmp_path_factory.mktemp("home") / "warehouse.duckdb"
    with Warehouse(path) as opened:
        opened.write_run(dataset="planted", seeds=[0, 1, 2])
        for protocol in Protocol:
            divided = split(log(), protocol, newcomers=True)
            opened.write_split(divided, USERS)
            for seed, (model, noise) in enumerate({**NOISE, **REPLICATES}.items()):
                ranked = rankings_of(divided, noise, seed)
                opened.write_rankings(divided, model, *ranked, fit_s=0.5, validation_ndcg=VALIDATION.get(model))
            opened.write_candidates(divided, rankings_of(divided, 0, 0)[0])
            opened.write_reach(divided, REACH)
            store_comparisons(opened, protocol)
        opened.write_run(dataset="planted", seeds=[0, 1, 2], release="r1")
    with Warehouse(path, read_only=True) as opened:
        yield opened


def test_the_report_has_the_keys_that_other_programs_rely_on(warehouse):
    report = json.loads(json.dumps(build_report(warehouse), allow_nan=False))
    assert (report["release"], report["dataset"], report["k"], report["seeds"]) == ("r1", "planted", 10, [0, 1, 2])
    assert set(report["protocols"]) == {*Protocol}
    for protocol in report["protocols"].values():
        assert {"split", "users", "items", "cold_item_share", "slices", "ablation"} <= set(protocol)
        assert protocol["items"] == N_ITEMS
        assert set(protocol["models"]) == set(NOISE)
        for found in protocol["models"].values():
            named = {"ndcg@10", "recall@10", "recall@50", "recall@200", "mrr@10", "coverage@10", "fit_s", "ci95"}
            assert named <= set(found)
            low, high = found["ci95"]["ndcg@10"]
            assert low <= found["ndcg@10"] <= high


def test_the_hybrid_is_compared_with_the_best_model_that_is_no_hybrid_and_no_oracle(warehouse):
    for protocol in build_report(warehouse)["protocols"].values():
        lift, models = protocol["hybrid_vs_best_baseline"], protocol["models"]
        assert lift["baseline"] == max(("ease", "popular"), key=lambda name: models[name]["ndcg@10"])
        assert lift["relative"] == pytest.approx(models["hybrid"]["ndcg@10"] / models[lift["baseline"]]["ndcg@10"] - 1)
        assert lift["ci95"][0] <= lift["relative"] <= lift["ci95"][1]


def test_the_hybrid_is_also_compared_with_the_model_that_validation_preferred(warehouse):
    for protocol in build_report(warehouse)["protocols"].values():
        lift, models = protocol["hybrid_vs_validated_baseline"], protocol["models"]
        assert lift["baseline"] == "popular"
        assert lift["relative"] == pytest.approx(models["hybrid"]["ndcg@10"] / models["popular"]["ndcg@10"] - 1)


def test_every_model_is_compared_over_the_same_users_and_only_baselines_are_corrected(warehouse):
    for protocol in build_report(warehouse)["protocols"].values():
        found, models = protocol["comparisons"], protocol["models"]
        assert set(found) == set(NOISE) - {"hybrid"}
        for model, one in found.items():
            assert one["difference"] == pytest.approx(models["hybrid"]["ndcg@10"] - models[model]["ndcg@10"])
            assert one["difference_ci95"][0] <= one["difference"] <= one["difference_ci95"][1]
            assert one["better"] + one["worse"] <= protocol["users"]
            assert (one["p_holm"] is None) == (model not in ("ease", "popular"))
        less, more = sorted((found["ease"], found["popular"]), key=lambda one: one["p"])
        assert less["p_holm"] == min(1, 2 * less["p"])
        assert more["p_holm"] == max(less["p_holm"], more["p"])


def test_other_seeds_are_no_models_but_say_how_much_is_luck(warehouse):
    report = build_report(warehouse)
    assert report["seeds"] == [0, 1, 2]
    for name, protocol in report["protocols"].items():
        assert not any("@" in model for models in protocol["slices"].values() for model in models)
        seeds, (first, *_) = protocol["seeds"], protocol["seeds"]["ndcg@10"]
        assert (seeds["seeds"], first) == ([0, 1, 2], protocol["models"]["hybrid"]["ndcg@10"])
        rows = warehouse.read("ndcg", {"protocol": name}).to_pylist()
        other = [row["ndcg@10"] for row in rows if (row["slice"], row["model"]) == ("all", "hybrid@2")]
        assert seeds["ndcg@10"][2] == pytest.approx(np.mean(other))
        assert seeds["mean"] == pytest.approx(np.mean(seeds["ndcg@10"]))
        assert protocol["models"]["hybrid"]["seed_sd"] == seeds["sd"] == pytest.approx(np.std(seeds["ndcg@10"], ddof=1))


def test_slices_by_attribute_are_those_of_enough_users(warehouse, monkeypatch):
    assert build_report(warehouse)["protocols"]["p2"]["attributes"] == {}  # all have fewer than 20
    monkeypatch.setattr(report, "LEAST_USERS", 3)
    protocol = build_report(warehouse)["protocols"]["p2"]
    gender = protocol["attributes"]["gender"]
    assert set(gender) == {"gender=F", "gender=M"}
    assert sum(models["ease"]["users"] for models in gender.values()) == protocol["users"]
    assert set(gender["gender=F"]) == {"hybrid", "oracle", "ease", "popular"}
    assert set(protocol["attributes"]) == {"gender", "daypart", "week"}  # no hour has three


def test_removing_a_part_that_helps_is_a_negative_change(warehouse):
    protocol = build_report(warehouse)["protocols"]["p2"]
    assert set(protocol["ablation"]) == {"text", "image"}
    removed = protocol["ablation"]["text"]
    assert removed["relative"] == pytest.approx(removed["ndcg@10"] / protocol["models"]["hybrid"]["ndcg@10"] - 1)
    assert removed["ci95"][1] < 0


def test_a_removed_part_is_judged_on_warm_and_cold_items_apart(warehouse):
    for protocol in build_report(warehouse)["protocols"].values():
        for part, removed in protocol["ablation"].items():
            slices = {"warm_items", "cold_items"} & set(protocol["slices"])
            assert slices == {"warm_items", "cold_items"} & set(removed)
            for name in slices:
                change, models = removed[name], protocol["slices"][name]
                without, whole = models[f"hybrid-{part}"]["ndcg@10"], models["hybrid"]["ndcg@10"]
                assert change["ndcg@10"] == without
                assert change["difference"] == pytest.approx(without - whole)
                assert change["difference_ci95"][0] <= change["difference"] <= change["difference_ci95"][1]


def test_users_without_a_history_count_in_their_own_slice_only(warehouse):
    divided = split(log(), Protocol.P1, newcomers=True)
    known = int((np.diff(divided.queries.indptr) > 0).sum())
    protocol = build_report(warehouse)["protocols"]["p1"]
    assert protocol["users"] == known
    assert protocol["new_users"] == protocol["slices"]["new_users"]["ease"]["users"] == len(divided.queries) - known > 0


def test_candidates_that_hold_everything_have_a_recall_of_one(warehouse):
    assert build_report(warehouse)["protocols"]["p2"]["candidates"]["recall"] == 1


def test_what_each_generator_gives_is_told_those_first_that_would_be_missed_most(warehouse):
    report = build_report(warehouse)
    candidates = json.loads(json.dumps(report))["protocols"]["p2"]["candidates"]
    assert list(candidates["generators"]) == ["ease", "popular"]
    assert candidates["generators"]["ease"] == {"recall": 0.5, "marginal": 0.25, "exclusive": 7, "first": 0.75}
    assert candidates["by_budget"] == {"union": {"25": 0.4, "50": 0.8}, "ease": {"25": 0.2, "50": 0.5}}
    shown = io.StringIO()
    Console(file=shown, width=200).print(tables(report))
    (line,) = {line for line in shown.getvalue().splitlines() if line.startswith("│ ease ") and "+0.2500" in line}
    assert [cell.strip() for cell in line.split("│")[1:-1]] == ["ease", "0.5000", "+0.2500", "7", "75.0%"]


def test_the_export_measures_as_the_report_says(warehouse, tmp_path):
    export(warehouse, tmp_path)
    for name, protocol in build_report(warehouse)["protocols"].items():
        events = pq.read_table(tmp_path / name / "split.parquet").to_pylist()
        wanted: dict[str, set[str]] = {}
        for event in events:
            if event["relevant"]:
                assert event["part"] == "test"
                wanted.setdefault(event["user_id"], set()).add(event["item_id"])
        assert len(wanted) == protocol["users"]
        for model, found in protocol["models"].items():
            dcg = dict.fromkeys(wanted, 0.0)
            for row in pq.read_table(tmp_path / name / f"{model}.parquet").to_pylist():
                if row["rank"] <= 10 and row["item_id"] in wanted[row["user_id"]]:
                    dcg[row["user_id"]] += 1 / math.log2(row["rank"] + 1)
            ideal = {
                user: sum(1 / math.log2(rank + 1) for rank in range(1, min(10, len(items)) + 1))
                for user, items in wanted.items()
            }
            mean = sum(dcg[user] / ideal[user] for user in wanted) / len(wanted)
            assert found["ndcg@10"] == pytest.approx(mean)


def test_the_export_has_the_columns_of_the_contract_and_no_seen_item(warehouse, tmp_path):
    written = export(warehouse, tmp_path)
    assert len(written) == len(Protocol) * (1 + len(NOISE) + len(REPLICATES))
    split_file = pq.read_table(tmp_path / "p1" / "split.parquet")
    assert split_file.column_names == ["user_id", "item_id", "occurred_at", "relevant", "part"]
    assert str(split_file.schema.field("occurred_at").type) == "timestamp[us, tz=UTC]"
    ranking = pq.read_table(tmp_path / "p1" / "ease.parquet")
    assert ranking.column_names == ["user_id", "item_id", "rank", "score"]
    seen = {(row["user_id"], row["item_id"]) for row in split_file.to_pylist() if row["part"] == "train"}
    assert not seen & set(zip(ranking["user_id"].to_pylist(), ranking["item_id"].to_pylist(), strict=True))


def test_the_picture_is_drawn_with_every_model(warehouse, tmp_path):
    svg, png = plot(build_report(warehouse), tmp_path)
    assert svg.read_text().count("<svg") == 1
    assert png.read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_models_lift_and_ablation(warehouse):
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(tables(build_report(warehouse)))
    shown = console.export_text()
    for said in ("hybrid against the best baseline, ease", "NDCG@10 of the hybrid without a part", "cold", "new users"):
        assert said in shown
    rows = {line.split("│")[1].strip(): line for line in shown.splitlines() if line.startswith("│")}
    assert "helps" in rows["text"]
    assert "-" in rows["text"].split("│")[2]


def test_an_empty_warehouse_says_how_to_fill_it(tmp_path):
    with Warehouse(tmp_path / "w.duckdb") as empty, pytest.raises(ArtifactError, match="trichord run"):
        build_report(empty)


def test_a_baseline_that_finds_nothing_has_no_ratio(tmp_path):
    divided = split(log(), Protocol.P3)
    items, scores = rankings_of(divided, 0, 0)
    nothing = np.full_like(items, -1)
    with Warehouse(tmp_path / "w.duckdb") as opened:
        opened.write_run(dataset="planted", seeds=[0])
        opened.write_split(divided)
        opened.write_rankings(divided, "hybrid", items, scores)
        opened.write_rankings(divided, "popular", nothing, scores)
        report = build_report(opened)
    assert report["protocols"]["p3"]["hybrid_vs_best_baseline"] == {
        "baseline": "popular",
        "relative": None,
        "ci95": None,
    }
    assert report["protocols"]["p3"]["models"]["popular"]["ndcg@10"] == 0
