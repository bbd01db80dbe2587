"""The neural fusion model as a classifier: which pairs it is asked, and what stands in the report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranking.candidates.fusion import Fusion
from ranking.candidates.fusion_config import FusionConfig
from ranking.evaluation.pairs import later_pairs, measure_pairs
from ranking.evaluation.report import build_report
from ranking.evaluation.table import tables
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import logloss


@pytest.fixture(scope="module")
def division(past):
    return past[0].division


@pytest.fixture(scope="module")
def model(division):
    return Fusion(FusionConfig(dim=4, hidden=8, negatives=3, epochs=10, batch=256, learning_rate=0.02)).fit(
        division.train
    )


def test_the_pairs_are_all_that_was_relevant_and_what_nobody_saw(division, model):
    chances, observed = later_pairs(division, model)
    chance_of = 1 / (1 + np.exp(-model.score(division.queries).astype(np.float64)))
    known = np.bincount(division.train.item, minlength=division.queries.n_items) > 0
    wanted = division.relevant.toarray() & known
    assert observed.sum() == wanted.sum()
    np.testing.assert_array_equal(np.sort(chances[observed]), np.sort(chance_of[wanted]))
    met = wanted | (division.queries.matrix().toarray() > 0) | ~known
    assert 0 < (~observed).sum() <= 3 * observed.sum()
    assert np.isin(chances[~observed], chance_of[~met]).all()


def test_loss_and_accuracy_stand_in_the_report(division, model):
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(division)
        measure_pairs(warehouse, division, model)
        report = build_report(warehouse)
    found = report["point"]["p2"]["fusion"]
    chances, observed = later_pairs(division, model)
    assert found["rows"] == len(observed)
    assert found["logloss"] == pytest.approx(logloss(chances, observed))
    assert found["accuracy"] == pytest.approx(np.mean((chances >= 0.5) == observed))
    assert tables(report).renderables[-1].row_count == 1


def test_nothing_relevant_is_nothing_to_measure(division, model):
    nothing = replace(division, relevant=division.relevant.multiply(False).tocsr().astype(bool))
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(division)
        measure_pairs(warehouse, nothing, model)
        assert build_report(warehouse)["point"] == {}
