"""An evaluation writes every model that the report promises; an ablation differs by its part alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from feature_repo.schema import Modality
from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.popular import Popular, PopularConfig
from ranking.evaluation import run
from ranking.evaluation.report import build_report
from ranking.evaluation.run import content_knn, measure_baselines, measure_hybrid
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.blend import BlendConfig
from ranking.rankers.features import Part
from ranking.rankers.trees import TreesConfig
from ranking.splits import Protocol
from ranking.strategy.hybrid import HybridConfig
from ranking.strategy.tuned import TunedModels

NEIGHBOURS = {"item_knn", "bm25", "rp3beta", "slim", "user_knn", "covisitation"}
BASELINES = {"popular", "popular_windowed", "ease", "ials", "ials_scaled", "bpr", "fusion", "content"} | NEIGHBOURS
ABLATIONS = {"behaviour", "context", "text", "image"}
RANKER = BlendConfig(TreesConfig(objectives=("lambdarank",), trees=10, min_rows_in_leaf=5, threads=1))


@pytest.fixture(scope="module")
def measured(past, checkerboard):
    """The warehouse after both steps, what the progress said, and what each hybrid was taught: name -> columns."""
    steps: list[tuple[int, int]] = []
    taught: dict[str, list[tuple[str, ...]]] = {}

    def listening(variant, windows, routes, inner=run.answers_of):
        taught[variant.name] = [one.features.names for one in variant.slates()]
        return inner(variant, windows, routes)

    with pytest.MonkeyPatch.context() as patch, Warehouse(Path(":memory:")) as warehouse:
        patch.setattr(run, "answers_of", listening)
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(past[0].division)
        measure_baselines(warehouse, past[0].division, TunedModels(), checkerboard.content)
        measure_hybrid(
            warehouse,
            past,
            checkerboard.content,
            checkerboard.users,
            HybridConfig(ranker=RANKER),
            modalities=[Modality.TEXT, Modality.IMAGE],
            progress=lambda done, total: steps.append((done, total)),
        )
        yield warehouse, steps, taught


def test_every_model_of_the_contract_is_written(measured):
    warehouse, _, _ = measured
    protocol = build_report(warehouse)["protocols"][Protocol.P2]
    ours = {"hybrid", "hybrid_spread", "hybrid-routes"} | {f"hybrid-{part}" for part in ABLATIONS}
    assert set(protocol["models"]) == BASELINES | ours
    assert set(protocol["ablation"]) == ABLATIONS | {"routes"}
    assert all(one["fit_s"] > 0 for one in protocol["models"].values())


def test_the_hybrid_is_held_against_the_baselines_alone(measured):
    warehouse, _, _ = measured
    report = build_report(warehouse)["protocols"][Protocol.P2]
    assert report["hybrid_vs_best_baseline"]["baseline"] in BASELINES
    assert report["models"]["hybrid"]["ndcg@10"] > 1.3 * report["models"]["popular"]["ndcg@10"]


def test_a_baseline_is_the_full_ranking_of_the_catalogue(measured, past):
    warehouse, _, _ = measured
    division = past[0].division
    items, _ = full_ranking(Popular(PopularConfig()).fit(division.train), division.queries, k=60)
    rows = [
        row
        for row in warehouse.read("export_ranking", {"protocol": "p2", "model": "popular"}).to_pylist()
        if row["user_id"] == division.train.users.ids[division.queries.user[0]]
    ]
    ranked = [row["item_id"] for row in sorted(rows, key=lambda row: row["rank"])]
    assert ranked == division.train.items.take(items[0][items[0] >= 0])


def test_an_ablation_lacks_exactly_the_columns_of_its_part(measured, past, checkerboard):
    _, _, taught = measured
    parts = past[0].slates(checkerboard.content, checkerboard.users, {"top_group": ()}).features.parts
    for names in taught["hybrid"]:
        assert set(names) == set(parts)
    for part in ABLATIONS:
        for names in taught[f"hybrid-{part}"]:
            assert set(parts) - set(names) == {name for name in parts if parts[name] == part}
    assert taught["hybrid-behaviour"][0] != taught["hybrid"][0]


def test_the_candidates_recall_is_that_of_the_union_as_it_was_watched(measured, past):
    warehouse, _, _ = measured
    candidates = build_report(warehouse)["protocols"][Protocol.P2]["candidates"]
    assert candidates["recall"] == pytest.approx(candidates["by_budget"]["union"]["200"])
    assert set(candidates["generators"]) == set(past[0].candidates.generators)
    assert sum(one["first"] for one in candidates["generators"].values()) == pytest.approx(1)


def test_every_ablation_ranks_the_same_candidates(measured):
    warehouse, _, _ = measured

    def lists(model: str) -> set[tuple[str, str]]:
        rows = warehouse.read("export_ranking", {"protocol": "p2", "model": model})
        return set(zip(rows["user_id"].to_pylist(), rows["item_id"].to_pylist(), strict=True))

    whole = lists("hybrid")
    assert all(lists(f"hybrid-{part}") == whole for part in ABLATIONS)


def test_without_behaviour_content_still_tells_the_camps(measured):
    warehouse, _, _ = measured
    models = build_report(warehouse)["protocols"][Protocol.P2]["models"]
    assert models["hybrid-behaviour"]["ndcg@10"] > models["popular"]["ndcg@10"]


def test_progress_counts_the_hybrid_and_its_ablations(measured):
    _, steps, _ = measured
    assert steps == [(done, 7) for done in range(7)]  # three seeds, four parts


def test_the_content_baseline_knows_an_item_by_any_of_its_modalities(checkerboard):
    content = checkerboard.content
    neither = {one: there & (np.arange(60) > 3) for one, there in content.present.items()}
    some = content_knn(replace(content, present=neither))
    assert not some.space.vectors[:4].any()
    assert some.space.vectors[4:].any(axis=1).all()
    assert some.space.vectors.shape[1] == 12
    np.testing.assert_allclose(np.linalg.norm(some.space.vectors[4:], axis=1), 1, rtol=1e-5)


def test_without_any_content_the_content_baseline_offers_nothing(checkerboard, past):
    nothing = {one: np.zeros(60, bool) for one in checkerboard.content.present}
    model = content_knn(replace(checkerboard.content, present=nothing)).fit(past[0].division.train)
    assert np.isneginf(model.score(past[0].division.queries)).all()


def test_parts_are_named_as_the_report_names_them():
    assert {Part(modality.value) for modality in Modality} | {Part.BEHAVIOUR, Part.CONTEXT} == {
        Part(name) for name in ("text", "image", "audio", "behaviour", "context")
    }
