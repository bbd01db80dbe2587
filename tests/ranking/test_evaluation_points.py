"""Probabilities of candidates: honest on other slates, blind to the window that is asked, and in the report."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from ranking.errors import ArtifactError
from ranking.evaluation.points import measure_points
from ranking.evaluation.report import build_report
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import auc, calibration_error, logloss
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.probability import Probability, Rows
from ranking.rankers.trees import Trees, TreesConfig
from ranking.strategy.fit import vocabulary_of

CONFIG = TreesConfig(trees=30, min_rows_in_leaf=20, threads=1)


def slates(seed: int, n: int = 150) -> Rows:
    """Slates of 40 in which a candidate is chosen with a chance that two columns tell."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(40 * n, 3)).astype(np.float32)
    labels = draw.random(len(values)) < expit(1.5 * values[:, 0] - values[:, 1] - 2)
    names = ("a", "b", "c")
    return FeatureMatrix(names, values, dict.fromkeys(names, Part.BEHAVIOUR)), labels, np.full(n, 40)


@pytest.fixture(scope="module")
def fitted() -> Probability:
    return Probability.fit(slates(0), slates(1), config=CONFIG)


def test_probabilities_are_honest_on_later_slates(fitted):
    features, labels, _ = slates(2, n=1000)
    chances = fitted.predict(features)
    assert calibration_error(chances, labels) < 0.02
    assert auc(chances, labels) > 0.8
    assert logloss(chances, labels) < logloss(np.full(len(labels), labels.mean()), labels) - 0.05


def test_calibration_undoes_what_leaving_out_negatives_does(fitted):
    features, labels, _ = slates(2)
    margins = np.mean([one.predict(features.values, raw_score=True) for one in fitted.trees.boosters], axis=0)
    assert calibration_error(expit(margins), labels) > 0.1


def test_a_saved_one_answers_alike_and_a_damaged_one_is_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    features, _, _ = slates(2)
    np.testing.assert_array_equal(Probability.load(tmp_path).predict(features), fitted.predict(features))
    (tmp_path / "calibration.json").unlink()
    with pytest.raises(ArtifactError, match=r"calibration\.json"):
        Probability.load(tmp_path)


def test_a_row_alone_and_no_row_have_their_answers(fitted):
    features, _, _ = slates(2)
    one = FeatureMatrix(features.names, features.values[7:8], features.parts)
    np.testing.assert_allclose(fitted.predict(one), fitted.predict(features)[7:8])
    assert fitted.predict(FeatureMatrix(features.names, features.values[:0], features.parts)).shape == (0,)


def described(past, checkerboard):
    vocabulary = vocabulary_of(past[1:])
    return [window.slates(checkerboard.content, checkerboard.users, vocabulary) for window in past]


def test_what_is_measured_stands_in_the_report(past, checkerboard):
    divided, told = [window.division for window in past], described(past, checkerboard)
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(divided[0])
        for _ in range(2):  # a second measurement replaces the first
            measure_points(warehouse, divided, told, CONFIG)
        found = build_report(warehouse)["point"]["p2"]["hybrid"]
        warehouse.write_split(divided[0])
        assert build_report(warehouse)["point"] == {}
    labels = told[0].labels(divided[0].relevant)
    assert (found["rows"], found["rate"]) == (len(labels), pytest.approx(labels.mean()))
    assert found["auc"] > 0.8
    bins = found["reliability"]
    assert sum(one["n"] for one in bins) == found["rows"]
    gaps = [abs(one["predicted"] - one["observed"]) * one["n"] for one in bins]
    assert found["ece"] == pytest.approx(sum(gaps) / found["rows"])


def test_what_came_after_the_question_changes_no_prediction(past, checkerboard):
    divided, told = [window.division for window in past], described(past, checkerboard)

    def predicted(relevant):
        with Warehouse(Path(":memory:")) as warehouse:
            warehouse.write_run(dataset="checkerboard", seeds=[0])
            warehouse.write_split(divided[0])
            measure_points(warehouse, [replace(divided[0], relevant=relevant), *divided[1:]], told, CONFIG)
            return [one["predicted"] for one in build_report(warehouse)["point"]["p2"]["hybrid"]["reliability"]]

    assert predicted(divided[0].relevant) == predicted(divided[0].relevant[::-1])


def test_two_windows_are_too_few(past, checkerboard):
    divided, told = [window.division for window in past], described(past, checkerboard)
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(divided[0])
        measure_points(warehouse, divided[:2], told[:2], CONFIG)
        assert build_report(warehouse)["point"] == {}


def test_trees_that_are_there_predict_as_those_that_would_be_fitted(past, checkerboard):
    divided, told = [window.division for window in past], described(past, checkerboard)
    rows = told[2].features, told[2].labels(divided[2].relevant), told[2].groups

    def found(trees):
        with Warehouse(Path(":memory:")) as warehouse:
            warehouse.write_run(dataset="checkerboard", seeds=[0])
            warehouse.write_split(divided[0])
            measure_points(warehouse, divided, told, CONFIG, trees=trees)
            return build_report(warehouse)["point"]["p2"]["hybrid"]

    fitted_anew = found(None)
    assert found(Trees.fit(*rows, config=CONFIG)) == fitted_anew
    ordering = Trees.fit(*rows, config=replace(CONFIG, objectives=("lambdarank",)))
    assert found(ordering) == fitted_anew  # their margins are no odds
    assert found(Trees.fit(*rows, config=replace(CONFIG, trees=2))) != fitted_anew
