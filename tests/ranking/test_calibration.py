"""Rising functions from scores to probabilities, against known answers and brute force."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import expit, logit

from ranking.errors import ArtifactError
from ranking.point_metrics import calibration_error
from ranking.rankers.calibration import Calibration

OUTCOMES = st.lists(st.booleans(), min_size=1, max_size=12)


def nearest_rising(values: list[float]) -> list[float]:
    """By its min-max formula (Barlow et al. 1972): max over starts of the min over ends of the mean between."""
    n = len(values)
    return [
        max(min(np.mean(values[start : end + 1]) for end in range(place, n)) for start in range(place + 1))
        for place in range(n)
    ]


@given(OUTCOMES)
def test_isotonic_gives_each_step_its_share_of_positives(outcomes):
    observed = np.array(outcomes)
    margins = np.arange(len(outcomes), dtype=float)
    expected = nearest_rising([float(one) for one in outcomes])
    fitted = Calibration.fit(margins, observed)
    steps = [0] + [p for p in range(1, len(expected)) if expected[p] - expected[p - 1] > 1e-12] + [len(expected)]
    assert len(fitted.chances) == len(steps) - 1
    for (start, stop), at, chance in zip(pairwise(steps), fitted.margins, fitted.chances, strict=True):
        unsure = 1 / (stop - start + 2)
        assert at == pytest.approx(np.mean(margins[start:stop]))
        assert chance == pytest.approx(np.clip(expected[start], unsure, 1 - unsure))


@given(OUTCOMES, st.sampled_from(["isotonic", "platt"]))
def test_probabilities_rise_with_the_margin_when_outcomes_do_and_are_never_certain(outcomes, method):
    fitted = Calibration.fit(np.arange(len(outcomes), dtype=float), np.sort(np.array(outcomes)), method=method)
    found = fitted.probability(np.linspace(-5, 20, 60))
    assert (np.diff(found) >= 0).all()
    assert (found >= 0).all() and (found <= 1).all()
    if method == "isotonic":
        assert (found > 0).all() and (found < 1).all()


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_what_is_calibrated_already_stays(method):
    draw = np.random.default_rng(0)
    chance = draw.uniform(0.02, 0.98, 40_000)
    fitted = Calibration.fit(logit(chance), draw.random(40_000) < chance, method=method)
    asked = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(fitted.probability(logit(asked)), asked, atol=0.03)


@pytest.mark.parametrize("method", ["isotonic", "platt"])
def test_scores_that_exaggerate_are_corrected_on_other_rows(method):
    draw = np.random.default_rng(1)
    margins = draw.normal(size=40_000) - 1
    observed = draw.random(40_000) < expit(margins)
    fitted = Calibration.fit(3 * margins[:20_000] + 1, observed[:20_000], method=method)
    told = 3 * margins[20_000:] + 1
    assert calibration_error(expit(told), observed[20_000:]) > 0.1
    assert calibration_error(fitted.probability(told), observed[20_000:]) < 0.015


def test_platt_minimises_the_loss_of_its_shrunken_outcomes():
    draw = np.random.default_rng(2)
    margins = draw.normal(size=60)
    observed = draw.random(60) < expit(2 * margins)
    target = np.where(observed, (observed.sum() + 1) / (observed.sum() + 2), 1 / ((~observed).sum() + 2))

    def loss(weights: np.ndarray) -> float:
        told = weights[0] * margins + weights[1]
        return float((np.logaddexp(0, told) - target * told).sum())

    best = optimize.minimize(loss, np.zeros(2), options={"gtol": 1e-8}).x
    fitted = Calibration.fit(margins, observed, method="platt")
    np.testing.assert_allclose([fitted.slope, fitted.intercept], best, atol=1e-5)


def test_without_rows_or_with_one_outcome_there_is_an_answer():
    assert Calibration.fit(np.zeros(0), np.zeros(0, bool)).probability(np.array([0.0])).tolist() == [0.5]
    alike = Calibration.fit(np.arange(8.0), np.zeros(8, bool))
    assert alike.probability(np.array([3.0])).tolist() == [0.1]  # nothing in eight rows: one in ten, for all we know


def test_a_saved_calibration_answers_alike_and_a_damaged_one_is_refused(tmp_path):
    fitted = Calibration.fit(np.arange(6.0), np.array([False, True, False, True, False, True]))
    fitted.save(tmp_path)
    assert Calibration.load(tmp_path) == fitted
    (tmp_path / "calibration.json").write_text("[]")
    with pytest.raises(ArtifactError, match=r"calibration\.json"):
        Calibration.load(tmp_path)
