"""The linear voice against SciPy's own minimiser, and the blend of both voices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from ranking.errors import ArtifactError
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.linear import Linear, LinearConfig, in_slates
from ranking.rankers.trees import REFERENCE, TreesConfig, standardise

GROUPS = np.full(30, 20)
CONFIG = BlendConfig(TreesConfig(seeds=(0, 1), trees=20, min_rows_in_leaf=5, threads=1), LinearConfig(l2=3.0))


def world(seed: int = 0) -> tuple[FeatureMatrix, np.ndarray]:
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(GROUPS.sum(), 4)).astype(np.float32)
    values[draw.random(values.shape) < 0.1] = np.nan
    labels = np.nan_to_num(values[:, 0]) + 0.5 * draw.normal(size=len(values)) > 1
    names = ("good", "b", "c", "d")
    return FeatureMatrix(names, values, dict.fromkeys(names, Part.BEHAVIOUR)), labels


def test_weights_minimise_the_penalised_likelihood():
    features, labels = world()
    model = Linear.fit(features, labels, GROUPS, config=LinearConfig(l2=3.0, negatives=1.0))
    told = np.repeat(labels.reshape(30, 20).any(axis=1), 20)
    values = np.column_stack([in_slates(features.values, GROUPS)[told], np.ones(told.sum())]).astype(np.float64)

    def loss(weights: np.ndarray) -> float:
        margins = values @ weights
        return np.logaddexp(0, margins).sum() - margins @ labels[told] + 1.5 * (weights[:-1] ** 2).sum()

    best = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-6}).x
    np.testing.assert_allclose(model.weights, best[:-1], rtol=1e-2, atol=1e-3)
    assert model.weights[0] > 5 * max(map(abs, model.weights[1:]))


@given(st.integers(0, 10), st.integers(1, 6))
def test_columns_are_standardised_within_each_slate(seed, size):
    values = np.random.default_rng(seed).normal(3, 2, (3 * size, 2)).astype(np.float32)
    groups = np.full(3, size)
    for column in range(2):
        expected = standardise(values[:, column].astype(np.float64), groups)
        np.testing.assert_allclose(in_slates(values, groups)[:, column], expected, atol=1e-4)


@pytest.mark.parametrize("labels", [np.zeros(600, bool), np.ones(600, bool)])
def test_labels_that_teach_nothing_give_a_model_that_answers(labels):
    features, _ = world()
    model = Linear.fit(features, labels, GROUPS, config=LinearConfig())
    assert np.isfinite(model.score(features, GROUPS)).all()


def test_each_objective_and_the_linear_model_have_one_voice():
    features, labels = world()
    blend = Blend.fit(features, labels, GROUPS, config=CONFIG)
    linear = standardise(blend.linear.score(features, GROUPS).astype(float), GROUPS)
    np.testing.assert_allclose(
        blend.score(features, GROUPS), blend.trees.score(features, GROUPS) / 2 + linear, rtol=1e-4, atol=1e-5
    )


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
