from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.evaluation.significance import ci95, holm, randomisation_p, relative_ci95, resampled_means


def test_the_interval_of_a_mean_is_that_of_normal_theory():
    values = np.random.default_rng(0).normal(0.3, 0.1, (500, 1))
    low, high = ci95(resampled_means(values, resamples=5000)[:, 0])
    half = 1.96 * values.std(ddof=1) / np.sqrt(500)
    assert abs(low - (values.mean() - half)) < 0.1 * half
    assert abs(high - (values.mean() + half)) < 0.1 * half


def test_intervals_hold_the_truth_about_as_often_as_they_say():
    draw = np.random.default_rng(1)
    worlds = draw.exponential(1.0, (200, 100))  # 200 models of 100 users whose true mean is 1
    means = resampled_means(worlds.T, resamples=1000)
    held = np.mean([low <= 1 <= high for low, high in map(ci95, means.T)])
    assert 0.88 <= held <= 0.99


def test_models_are_compared_on_the_same_drawn_users():
    easy_and_hard = np.random.default_rng(2).uniform(0, 1, 300)
    means = resampled_means(np.stack([1.2 * easy_and_hard, easy_and_hard], axis=1))
    low, high = relative_ci95(means[:, 0], means[:, 1])
    assert np.allclose([low, high], 0.2)


def test_a_models_interval_does_not_depend_on_the_models_beside_it():
    values = np.random.default_rng(3).uniform(0, 1, (50, 3))
    together = resampled_means(values)
    alone = resampled_means(values[:, 1:2])
    assert np.allclose(together[:, 1], alone[:, 0])


def test_blocks_of_draws_do_not_change_the_result(monkeypatch):
    values = np.random.default_rng(4).uniform(0, 1, (40, 2))
    whole = resampled_means(values)
    monkeypatch.setattr("ranking.evaluation.significance.BLOCK", 1000)
    assert np.allclose(whole, resampled_means(values))


def test_seeds_decide_the_draws():
    values = np.random.default_rng(5).uniform(0, 1, (40, 1))
    assert np.array_equal(resampled_means(values, seed=1), resampled_means(values, seed=1))
    assert not np.array_equal(resampled_means(values, seed=1), resampled_means(values, seed=2))


def test_a_reference_that_may_find_nothing_has_no_relative_interval():
    assert relative_ci95(np.array([0.1, 0.2]), np.array([0.0, 0.2])) is None


def test_the_randomisation_test_equals_the_count_of_all_sign_flips():
    differences = np.array([0.3, -0.1, 0.2, 0.25, 0.0, 0.4, -0.05, 0.1])
    every = np.array(list(product((1, -1), repeat=8))) @ differences
    exact = np.mean(np.abs(every) >= abs(differences.sum()) - 1e-12)
    (found,) = randomisation_p(differences[:, None], flips=40_000)
    assert abs(found - exact) < 0.01


def test_models_that_do_not_differ_are_told_apart_as_often_as_the_level_says():
    nothing = np.random.default_rng(6).normal(0, 1, (30, 400))
    assert 0.02 <= np.mean(randomisation_p(nothing, flips=500) < 0.05) <= 0.09


def test_blocks_of_flips_do_not_change_the_result(monkeypatch):
    differences = np.random.default_rng(7).normal(0.2, 1, (20, 2))
    whole = randomisation_p(differences, flips=999)
    monkeypatch.setattr("ranking.evaluation.significance.BLOCK", 1000)
    assert np.allclose(whole, randomisation_p(differences, flips=999))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_p_values_are_those_of_the_step_down_procedure(p):
    values = np.array(p)
    adjusted = holm(values)
    for one, found in zip(values, adjusted, strict=True):
        # rejected at a level exactly when every smaller p-value is below the level over how many are not smaller
        steps = [min(1, smaller * (values >= smaller).sum()) for smaller in values[values <= one]]
        assert found == pytest.approx(max(steps))
