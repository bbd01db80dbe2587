"""The neural ranker: its formulas by hand, what it must learn, and the contracts of every ranker."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, log_softmax

from ranking.errors import ArtifactError
from ranking.metrics import ndcg
from ranking.point_metrics import auc, logloss, rmse
from ranking.rankers.cross_network import Cross, CrossNetwork
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.neural import Neural
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.neural_training import listwise

CONFIG = NeuralConfig(
    hidden=(16,), rank=4, negatives=1.0, learning_rate=0.01, batch_rows=200, epochs=25, dropout=0.0, l2=1e-5
)
GROUPS = np.full(60, 20)


def matrix(values: np.ndarray, names: tuple[str, ...]) -> FeatureMatrix:
    return FeatureMatrix(names, values.astype(np.float32), dict.fromkeys(names, Part.BEHAVIOUR))


def world(seed: int = 0) -> tuple[FeatureMatrix, np.ndarray]:
    """Slates in which `good` alone tells what is chosen; a tenth of the values is missing."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(GROUPS.sum(), 3))
    values[draw.random(values.shape) < 0.1] = np.nan
    labels = np.nan_to_num(values[:, 0]) + 0.3 * draw.normal(size=len(values)) > 1.2
    return matrix(values, ("good", "b", "c")), labels


@pytest.fixture(scope="module")
def fitted() -> Neural:
    return Neural.fit(*world(), GROUPS, config=replace(CONFIG, seeds=(0, 1)))


def mean_ndcg(scores: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> float:
    hits = np.stack(
        [labels[rows][np.argsort(-scores[rows])] for rows in np.arange(len(labels)).reshape(len(groups), -1)]
    )
    asked = hits.any(axis=1)
    return float(ndcg(hits[asked], hits[asked].sum(axis=1), 10).mean())


def test_a_cross_layer_is_its_formula():
    draw = np.random.default_rng(0)
    layer = Cross(5, 2)
    for weight in layer.parameters():
        weight.data = torch.from_numpy(draw.normal(size=weight.shape).astype(np.float32))
    first, x = draw.normal(size=(2, 7, 5)).astype(np.float32)
    u, v, b = layer.up.weight.data.numpy(), layer.down.weight.data.numpy(), layer.up.bias.data.numpy()
    expected = np.stack([x0 * (u @ (v @ xl) + b) + xl for x0, xl in zip(first, x, strict=True)])
    found = layer(torch.from_numpy(first), torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_network_is_crosses_beside_layers():
    network = CrossNetwork(
        2, [3], embedding=2, crosses=1, rank=1, hidden=(2,), dropout=0.5, rates=torch.zeros(1)
    ).eval()
    draw = np.random.default_rng(1)
    for weight in network.parameters():
        weight.data = torch.from_numpy(draw.normal(size=weight.shape).astype(np.float32))
    p = {name: value.numpy().astype(float) for name, value in network.state_dict().items()}
    x = np.array([0.5, -1.0, *p["embeddings.0.weight"][2]])
    crossed = x * (p["crosses.0.up.weight"] @ (p["crosses.0.down.weight"] @ x) + p["crosses.0.up.bias"]) + x
    deep = np.maximum(p["layers.0.weight"] @ x + p["layers.0.bias"], 0)
    expected = p["head.weight"] @ np.concatenate([crossed, deep]) + p["head.bias"]
    found = network(torch.tensor([[0.5, -1.0]]), torch.tensor([[2]])).detach().numpy()
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)


def test_before_it_learns_it_gives_the_base_rate_on_a_world_of_four_by_four():
    values = np.array([[user, item] for user in range(4) for item in range(4)])
    labels = np.array([user == item for user in range(4) for item in range(4)])
    model = Neural.fit(
        matrix(values, ("user", "item")), labels, np.full(4, 4), config=replace(CONFIG, epochs=0, held_out=0.0)
    )
    found = expit(model.score(matrix(values, ("user", "item")), np.full(4, 4)))
    np.testing.assert_allclose(found, 4 / 16, rtol=1e-5)


@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=4), st.integers(0, 99))
def test_the_listwise_loss_is_the_softmax_of_each_slate(slates, seed):
    scores = np.random.default_rng(seed).normal(size=sum(map(len, slates)))
    expected, start = [], 0
    for slate in slates:
        logs = log_softmax(scores[start : start + len(slate)])
        if any(slate):
            expected.append(-np.mean(logs[np.array(slate)]))
        start += len(slate)
    gains = torch.tensor([float(one) for slate in slates for one in slate])
    found = listwise(torch.from_numpy(scores.astype(np.float32)), gains, np.array([len(one) for one in slates]))
    assert float(found) == pytest.approx(np.mean(expected) if expected else 0.0, abs=1e-5)


def test_it_learns_a_checkerboard_from_ids_alone():
    user, item = (one.ravel() for one in np.meshgrid(np.arange(24), np.arange(24), indexing="ij"))
    labels = user % 2 == item % 2
    features = matrix(np.stack([user, item], axis=1), ("user", "item"))
    told = np.random.default_rng(0).random(len(labels)) < 0.7
    patient = replace(CONFIG, learning_rate=0.03, batch_rows=64, epochs=60, patience=30, slowing=1.0)
    config = replace(patient, categories=("user", "item"), in_slates=False, listwise=0.0)
    some = FeatureMatrix(features.names, features.values[told], features.parts)
    model = Neural.fit(some, labels[told], np.ones(told.sum(), int), config=config)
    others = FeatureMatrix(features.names, features.values[~told], features.parts)
    assert auc(model.score(others, np.ones((~told).sum(), int)), labels[~told]) > 0.95


def test_it_ranks_other_slates_far_better_than_chance(fitted):
    features, labels = world(seed=1)
    chance = np.random.default_rng(0).random(len(labels))
    assert mean_ndcg(fitted.score(features, GROUPS), labels, GROUPS) > 0.9
    assert mean_ndcg(chance, labels, GROUPS) < 0.5
    assert all(history[0] > min(history[1:]) for history in fitted.history)


def test_a_column_of_categories_is_no_number():
    draw = np.random.default_rng(3)
    code = draw.integers(0, 6, 2000)
    labels = np.isin(code, [1, 4])
    labels ^= draw.random(2000) < 0.05
    config = replace(CONFIG, categories=("code",), in_slates=False, hidden=(), crosses=0, listwise=0.0)
    features = matrix(code[:, None], ("code",))
    model = Neural.fit(features, labels, np.ones(2000, int), config=config)
    assert auc(model.score(features, np.ones(2000, int)), labels) > 0.93
    unknown = matrix(np.array([[6.0], [99.0], [np.nan], [-3.0]]), ("code",))
    assert len(set(model.score(unknown, np.ones(4, int)).tolist())) == 1


def test_tasks_have_logits_of_their_own_and_the_score_weighs_them():
    features, labels = world()
    bought = labels & (np.nan_to_num(features.values[:, 1]) > 0)
    config = replace(CONFIG, tasks={"click": 1.0, "buy": 3.0})
    model = Neural.fit(features, np.stack([labels, bought], axis=1), GROUPS, config=config)
    logits = model.logits(features, GROUPS)
    assert logits.shape == (len(labels), 2)
    assert auc(logits[:, 1], bought) > auc(logits[:, 0], bought)
    np.testing.assert_allclose(model.score(features, GROUPS), logits[:, 0] + 3 * logits[:, 1], rtol=1e-4, atol=1e-5)


def test_ratings_are_learned_where_there_are_any():
    features, labels = world()
    stars = 3 + np.nan_to_num(features.values[:, 1])
    known = np.where(np.arange(len(labels)) % 3 == 0, stars, np.nan).astype(np.float32)
    model = Neural.fit(features, labels, GROUPS, config=replace(CONFIG, ratings=1.0), ratings=known)
    assert rmse(model.ratings(features, GROUPS), stars) < 0.5 * rmse(np.full(len(stars), np.nanmean(known)), stars)
    assert auc(model.score(features, GROUPS), labels) > 0.9
    without = Neural.fit(features, labels, GROUPS, config=replace(CONFIG, epochs=1), ratings=known)
    np.testing.assert_allclose(without.ratings(features, GROUPS), np.nanmean(known), rtol=1e-5)


def test_given_rows_decide_when_to_stop():
    draw = np.random.default_rng(0)
    noise = matrix(draw.normal(size=(400, 20)), tuple("abcdefghijklmnopqrst"))
    labels, one_each = draw.random(400) < 0.5, np.ones(400, int)
    other = matrix(draw.normal(size=(400, 20)), noise.names)
    config = replace(CONFIG, in_slates=False, listwise=0.0, epochs=40, patience=3)
    judged = draw.random(400) < 0.5
    model = Neural.fit(noise, labels, one_each, config=config, held_out=(other, judged, one_each))
    assert len(model.history[0]) < 20  # noise is soon learned by heart
    assert logloss(expit(model.score(other, one_each)), judged) == pytest.approx(min(model.history[0]), abs=1e-4)


def test_a_seed_gives_the_same_model_and_draws_nothing_from_others():
    features, labels = world()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other = (Neural.fit(features, labels, GROUPS, config=replace(CONFIG, epochs=2, dropout=0.2)) for _ in range(2))
    assert torch.rand(1) == expected
    np.testing.assert_array_equal(one.score(features, GROUPS), other.score(features, GROUPS))
    another = Neural.fit(features, labels, GROUPS, config=replace(CONFIG, epochs=2, dropout=0.2, seeds=(1,)))
    assert not np.array_equal(one.score(features, GROUPS), another.score(features, GROUPS))


def test_a_saved_ranker_answers_alike_and_a_damaged_one_is_refused(fitted, tmp_path):
    features, _ = world()
    fitted.save(tmp_path)
    again = Neural.load(tmp_path)
    assert (again.config, again.names) == (fitted.config, fitted.names)
    np.testing.assert_array_equal(again.score(features, GROUPS), fitted.score(features, GROUPS))
    (tmp_path / "neural.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"neural\.safetensors"):
        Neural.load(tmp_path)


def test_arrays_of_another_network_are_refused(fitted, tmp_path):
    fitted.save(tmp_path)
    text = (tmp_path / "neural.json").read_text()
    (tmp_path / "neural.json").write_text(text.replace('"rank": 4', '"rank": 5'))
    with pytest.raises(ArtifactError, match="neural ranker"):
        Neural.load(tmp_path)


def test_a_batch_is_scored_as_its_single_slates_are(fitted):
    features, _ = world()
    whole = fitted.score(features, GROUPS)
    for slate in range(0, 60, 7):
        rows = slice(20 * slate, 20 * slate + 20)
        alone = FeatureMatrix(features.names, features.values[rows], features.parts)
        np.testing.assert_allclose(fitted.score(alone, np.array([20])), whole[rows], atol=1e-4)


def test_columns_may_stand_in_any_order_and_far_off_values_are_cut(fitted):
    features, _ = world()
    turned = matrix(features.values[:, ::-1], features.names[::-1])
    np.testing.assert_array_equal(fitted.score(turned, GROUPS), fitted.score(features, GROUPS))
    wild = matrix(np.array([[1e9, np.nan, -1e9], [1e6, 0, -1e9]]), features.names)
    assert np.isfinite(fitted.score(wild, np.array([1, 1]))).all()


def test_nothing_to_learn_from_or_to_score(fitted):
    features, labels = world()
    nothing = FeatureMatrix(features.names, features.values[:0], features.parts)
    empty = np.zeros(0, np.int64)
    assert fitted.score(nothing, empty).shape == (0,)
    untaught = Neural.fit(nothing, labels[:0], empty, config=CONFIG)
    assert np.isfinite(untaught.score(features, GROUPS)).all()
    for labels in (np.zeros(1200, bool), np.ones(1200, bool)):
        assert np.isfinite(Neural.fit(features, labels, GROUPS, config=CONFIG).score(features, GROUPS)).all()
