"""The linear voice against SciPy's own minimiser, and the blend of both voices."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, special

from ranking.errors import ArtifactError
from ranking.rankers.blend import SHARES, Blend, BlendConfig, Lesson, share_by_test
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.linear import Linear, LinearConfig
from ranking.rankers.standardised import standardise, standardise_known
from ranking.rankers.trees import REFERENCE, TreesConfig

GROUPS = np.full(30, 20)
TREES = TreesConfig(objectives=("binary", "lambdarank"), seeds=(0, 1), trees=20, min_rows_in_leaf=5, threads=1)
CONFIG = BlendConfig(TREES, LinearConfig(l2=3.0))


def world(seed: int = 0) -> tuple[FeatureMatrix, np.ndarray]:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(GROUPS.sum(), 4)).astype(np.float32)
    values[draw.random(values.shape) < 0.1] = np.nan
    labels = np.nan_to_num(values[:, 0]) + 0.5 * draw.normal(size=len(values)) > 1
    names = ("good", "b", "c", "d")
    return FeatureMatrix(names, values, dict.fromkeys(names, Part.BEHAVIOUR)), labels


def loss_of(values: np.ndarray, labels: np.ndarray, l2: float, stands_for: np.ndarray):
    """Minus the logarithm of the chance of each choice out of its slate of 20 rows, and the penalty."""
    slates, chosen = values.reshape(-1, 20, values.shape[1]).astype(float), labels.reshape(-1, 20)

    def loss(weights: np.ndarray) -> float:
        margins = slates @ weights
        chances = margins - special.logsumexp(margins, axis=1, b=stands_for.reshape(-1, 20), keepdims=True)
        return -chances[chosen].sum() + l2 / 2 * (weights**2).sum()

    return loss


def test_weights_maximise_the_penalised_chance_of_what_was_chosen():
    features, labels = world()
    model = Linear.fit(features, labels, GROUPS, config=LinearConfig(l2=3.0, negatives=1.0))
    values = standardise_known(features.values, GROUPS)
    loss = loss_of(values, labels, 3.0, np.ones(600))
    best = optimize.minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(model.weights, best, rtol=1e-2, atol=1e-3)
    assert model.weights[0] > 5 * max(map(abs, model.weights[1:]))


def test_a_sample_of_the_rows_not_chosen_stands_for_all_of_them():
    features, labels = world()
    model = Linear.fit(features, labels, GROUPS, config=LinearConfig(l2=3.0, negatives=0.5, seed=7))
    drawn = np.random.default_rng(7).random(600) < 0.5
    stands_for = np.where(labels, 1.0, np.where(drawn, 2.0, 0.0))
    loss = loss_of(standardise_known(features.values, GROUPS), labels, 3.0, stands_for)
    best = optimize.minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(model.weights, best, rtol=1e-2, atol=1e-3)


def test_a_choice_between_two_rows_is_a_logistic_regression_of_their_difference():
    features = FeatureMatrix(("one",), np.array([[1], [0]] * 4, np.float32), {"one": Part.BEHAVIOUR})
    labels = np.array([1, 0, 1, 0, 1, 0, 0, 1], bool)  # three times out of four the larger one; +1 and -1 in the slate
    model = Linear.fit(features, labels, np.full(4, 2), config=LinearConfig(l2=1e-3, negatives=1.0))
    assert model.weights[0] == pytest.approx(np.log(3) / 2, abs=1e-2)


def test_slates_without_rows_or_without_a_choice_change_nothing():
    features, labels = world()
    config = LinearConfig(l2=3.0, negatives=1.0)
    more = FeatureMatrix(features.names, np.vstack([features.values, features.values[:20]]), features.parts)
    padded = Linear.fit(more, np.append(labels, np.zeros(20, bool)), np.append(GROUPS, [0, 20]), config=config)
    np.testing.assert_allclose(padded.weights, Linear.fit(features, labels, GROUPS, config=config).weights, rtol=1e-5)


@given(st.integers(0, 10), st.integers(1, 6))
def test_columns_are_standardised_within_each_slate(seed, size):
    values = np.random.default_rng(seed).normal(3, 2, (3 * size, 2)).astype(np.float32)
    groups = np.full(3, size)
    for column in range(2):
        expected = standardise(values[:, column].astype(np.float64), groups)
        np.testing.assert_allclose(standardise_known(values, groups)[:, column], expected, atol=1e-4)


@pytest.mark.parametrize("labels", [np.zeros(600, bool), np.ones(600, bool)])
def test_labels_that_teach_nothing_give_a_model_that_answers(labels):
    features, _ = world()
    model = Linear.fit(features, labels, GROUPS, config=LinearConfig())
    assert np.isfinite(model.score(features, GROUPS)).all()


def test_trees_and_the_linear_model_count_alike():
    features, labels = world()
    blend = Blend.fit(features, labels, GROUPS, config=CONFIG)
    linear = standardise(blend.linear.score(features, GROUPS).astype(float), GROUPS)
    np.testing.assert_allclose(
        blend.score(features, GROUPS), blend.trees.score(features, GROUPS) / 4 + linear, rtol=1e-4, atol=1e-5
    )


def test_a_lesson_measures_ndcg_by_hand():
    labels = np.array([1, 0, 1, 0, 1, 0, 0], bool)
    matrix = FeatureMatrix(("one",), np.zeros((7, 1), np.float32), {"one": Part.BEHAVIOUR})
    lesson = Lesson(matrix, labels, np.array([3, 0, 2, 2]))  # the last slate holds nothing chosen
    first = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))  # the chosen at places 1 and 3
    scores = np.array([3, 2, 1, 5, 4, 1, 2], float)
    assert lesson.ndcg(scores) == pytest.approx((first + 1 / np.log2(3)) / 2)


def test_the_share_is_the_one_that_orders_the_latest_slates_best():
    features, labels = world()
    square = FeatureMatrix(features.names, features.values.copy(), features.parts)
    square.values[:, 1] = np.where(labels, 5, -5)  # in the older slates this tells everything, later nothing
    latest = features.values.copy()
    latest[:, 1] = np.random.default_rng(1).normal(size=len(latest))
    config = replace(CONFIG, linear=LinearConfig(l2=1e6))
    model = Blend.fit(square, labels, GROUPS, config=config)
    later = Lesson(FeatureMatrix(features.names, latest, features.parts), labels, GROUPS)
    share = share_by_test(Lesson(square, labels, GROUPS), later, config=config)
    measured = {one: later.ndcg(replace(model, share=one).score(later.features, GROUPS)) for one in SHARES}
    assert measured[share] == max(measured.values())


def test_contributions_sum_to_the_score_less_that_of_the_reference():
    features, labels = world()
    blend = Blend.fit(features, labels, GROUPS, config=CONFIG)
    slate = FeatureMatrix(features.names, features.values[:20], features.parts)
    score = blend.score(slate, np.array([20]))
    reference = np.linspace(0, 19, REFERENCE).astype(int)
    added = blend.contributions(slate, np.arange(20))
    np.testing.assert_allclose(added.sum(axis=1), score - score[reference].mean(), atol=1e-4)


def test_a_saved_blend_gives_the_same_scores_and_a_damaged_one_is_refused(tmp_path):
    features, labels = world()
    blend = Blend.fit(features, labels, GROUPS, config=CONFIG)
    blend.save(tmp_path)
    np.testing.assert_array_equal(Blend.load(tmp_path).score(features, GROUPS), blend.score(features, GROUPS))
    (tmp_path / "linear.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"linear\.json"):
        Blend.load(tmp_path)
