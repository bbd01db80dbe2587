import numpy as np

from ranking.evaluation.significance import ci95, relative_ci95, resampled_means


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
