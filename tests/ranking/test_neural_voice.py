"""The network as one more voice of the blend, and what its columns add."""

from dataclasses import replace

import numpy as np
import pytest

from ranking.errors import ArtifactError
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.linear import LinearConfig
from ranking.rankers.neural import Neural
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.neural_contributions import contributions
from ranking.rankers.standardised import standardise
from ranking.rankers.trees import REFERENCE, TreesConfig

GROUPS = np.full(30, 20)
NEURAL = NeuralConfig(hidden=(8,), rank=2, negatives=1.0, learning_rate=0.01, epochs=4, categories=("code",), l2=1e-5)
CONFIG = BlendConfig(TreesConfig(trees=20, min_rows_in_leaf=5, threads=1), LinearConfig(l2=3.0), neural=NEURAL)


def world() -> tuple[FeatureMatrix, np.ndarray]:
    draw = np.random.default_rng(0)
    values = draw.normal(size=(GROUPS.sum(), 4)).astype(np.float32)
    values[draw.random(values.shape) < 0.1] = np.nan
    values[:, 3] = draw.integers(0, 5, len(values))
    labels = np.nan_to_num(values[:, 0]) + (values[:, 3] == 2) + 0.5 * draw.normal(size=len(values)) > 1
    names = ("good", "b", "c", "code")
    return FeatureMatrix(names, values, dict.fromkeys(names, Part.BEHAVIOUR)), labels


@pytest.fixture(scope="module")
def blend() -> Blend:
    return Blend.fit(*world(), GROUPS, config=CONFIG)


def test_the_network_has_one_voice_beside_the_others(blend):
    features, labels = world()
    without = Blend.fit(features, labels, GROUPS, config=replace(CONFIG, neural=None))
    assert without.neural is None and blend.neural is not None
    added = standardise(blend.neural.score(features, GROUPS).astype(float), GROUPS)
    np.testing.assert_allclose(
        blend.score(features, GROUPS), without.score(features, GROUPS) + added, rtol=1e-4, atol=1e-5
    )


def test_contributions_sum_to_the_score_less_that_of_the_reference(blend):
    features, _ = world()
    slate = FeatureMatrix(features.names, features.values[:20], features.parts)
    score = blend.score(slate, np.array([20]))
    reference = np.linspace(0, 19, REFERENCE).astype(int)
    added = blend.contributions(slate, np.arange(5))
    assert added.shape == (5, 4)
    np.testing.assert_allclose(added.sum(axis=1), score[:5] - score[reference].mean(), atol=1e-4)


def test_of_a_network_without_kinks_each_column_gets_what_it_adds():
    """Without layers or crosses a score is a sum over columns, and each one's difference is known."""
    features, labels = world()
    config = replace(NEURAL, hidden=(), crosses=0, in_slates=False)
    model = Neural.fit(features, labels, GROUPS, config=config)
    slate = FeatureMatrix(features.names, np.nan_to_num(features.values[:20]), features.parts)
    rows, reference = np.arange(6), np.array([10, 15])
    added = contributions(model, slate, rows, reference)
    for column in range(4):
        for row in rows:
            changed = np.repeat(slate.values[[row]], 3, axis=0)
            changed[1:, column] = slate.values[reference, column]
            scores = model.score(FeatureMatrix(slate.names, changed, slate.parts), np.array([3]))
            assert added[row, column] == pytest.approx(scores[0] - scores[1:].mean(), abs=1e-4)


def test_a_column_that_the_network_does_not_read_adds_nothing():
    features, labels = world()
    model = Neural.fit(features, labels, GROUPS, config=NEURAL)
    constant = features.values.copy()
    constant[:, 1] = 3.0
    slate = FeatureMatrix(features.names, constant[:20], features.parts)
    added = contributions(model, slate, np.arange(20), np.array([0, 19]))
    assert np.abs(added[:, 1]).max() < 1e-6 < np.abs(added[:, 0]).max()


def test_a_saved_blend_gives_the_same_scores_and_a_damaged_one_is_refused(blend, tmp_path):
    features, _ = world()
    blend.save(tmp_path)
    np.testing.assert_array_equal(Blend.load(tmp_path).score(features, GROUPS), blend.score(features, GROUPS))
    (tmp_path / "neural.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"neural\.json"):
        Blend.load(tmp_path)
