"""What the single models compute: by hand on one world of 4 x 4, by brute force and by stock libraries."""

from dataclasses import replace
from itertools import pairwise
from math import log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from implicit.nearest_neighbours import BM25Recommender
from implicit.utils import ParameterWarning
from scipy import linalg, optimize

from ranking.candidates.bm25 import Bm25, Bm25Config
from ranking.candidates.bpr import FOLD_IN_L2, Bpr, BprConfig
from ranking.candidates.fusion import Fusion
from ranking.candidates.fusion_config import FusionConfig
from ranking.candidates.fusion_network import FusionNetwork
from ranking.candidates.generator import NOT_OFFERED
from ranking.candidates.history import DAY_US, Feedback, Memory, binary
from ranking.candidates.rp3beta import Rp3Beta, Rp3BetaConfig
from ranking.candidates.sasrec import Sasrec, _sequences
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.candidates.sasrec_network import SasrecNetwork
from ranking.candidates.slim import Slim, SlimConfig
from ranking.candidates.user_knn import UserKnn, UserKnnConfig
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries

FOUR = ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 2), (2, 3), (3, 0), (3, 3))
"""Pairs (user, item): 3, 2, 2 and 2 users of an item; 2, 3, 2 and 2 items of a user."""


def world(pairs, n_users=4, n_items=4, *, positive=None) -> Interactions:
    user, item = np.array(pairs, np.int32).reshape(-1, 2).T
    n = len(user)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(n_items))),
        user=user,
        item=item,
        occurred_at=np.arange(n) * DAY_US,
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool) if positive is None else np.array(positive),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )


def ask(train: Interactions, users) -> Queries:
    return Queries.from_interactions(train, np.array(users, np.int32), np.full(len(users), 10_000 * DAY_US))


def strangers(*histories, n_items=4) -> Queries:
    """One anonymous query a history."""
    pairs = [(user, item) for user, items in enumerate(histories) for item in items]
    queries = ask(world(pairs, len(histories), n_items), range(len(histories)))
    return replace(queries, user=np.full(len(histories), UNKNOWN, np.int32))


ONLY_0 = strangers([0])


def test_bm25_by_hand():
    # without normalisation by length a weight is idf: ln 4 - ln 4 = 0 for user 1, else ln 4 - ln 3
    scores = Bm25(Bm25Config(b=0)).fit(world(FOUR)).score(strangers([0], [2]))
    near = log(4 / 3) ** 2  # 0 and 1 share user 0, 0 and 3 share user 3, 2 and 3 share user 2
    expected = [[NOT_OFFERED, near, NOT_OFFERED, near], [NOT_OFFERED, NOT_OFFERED, NOT_OFFERED, near]]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_bm25_agrees_with_the_library():
    rng = np.random.default_rng(1)
    train = world(np.argwhere(rng.random((30, 12)) < 0.2), 30, 12)
    library = BM25Recommender(K=12, K1=1.2, B=0.75, num_threads=1)
    with pytest.warns(ParameterWarning, match="CSR"):  # it weighs into a format that it then warns of
        library.fit(binary(train), show_progress=False)
    expected = library.similarity.toarray()
    np.fill_diagonal(expected, 0)
    found = Bm25(Bm25Config(neighbours=12)).fit(train).between(np.arange(12), np.arange(12))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_rp3beta_by_hand():
    # from 0 one goes to three users, from them to 2, 3 and 2 items; 1, 2 and 3 have two users each
    scores = Rp3Beta(Rp3BetaConfig(alpha=1, beta=1)).fit(world(FOUR)).score(ONLY_0)
    expected = [NOT_OFFERED, (1 / 2 + 1 / 3) / 3 / 2, (1 / 3) / 3 / 2, (1 / 2) / 3 / 2]
    np.testing.assert_allclose(scores, [expected], rtol=1e-6)


@settings(max_examples=30)
@given(x=arrays.arrays(np.int8, (6, 5), elements=st.integers(0, 1)), alpha=st.floats(0.3, 2), beta=st.floats(0, 1))
def test_rp3beta_equals_its_definition(x, alpha, beta):
    found = Rp3Beta(Rp3BetaConfig(alpha=alpha, beta=beta)).fit(world(np.argwhere(x), 6, 5))
    expected = np.zeros((5, 5))
    for i, j in np.argwhere(~np.eye(5, dtype=bool)):
        for user in np.flatnonzero(x[:, i] & x[:, j]):
            expected[i, j] += (1 / x[:, i].sum() / x[user].sum()) ** alpha / x[:, j].sum() ** beta
    np.testing.assert_allclose(found.between(np.arange(5), np.arange(5)), expected, rtol=1e-5, atol=1e-7)


def test_slim_by_hand():
    # nearest to 1 is 0: weight (2 - 1/2) / (3 + 1); nearest to 2 is 1, to 3 is 2, to 0 is 1
    model = Slim(SlimConfig(l1=0.5, l2=1, neighbours=1, min_events=1)).fit(world(FOUR))
    np.testing.assert_allclose(model.score(ONLY_0), [[NOT_OFFERED, 0.375, NOT_OFFERED, NOT_OFFERED]])


@settings(max_examples=30)
@given(
    x=arrays.arrays(np.int8, (8, 6), elements=st.integers(0, 1)).filter(lambda x: x.any(axis=0).all()),
    l1=st.floats(0, 1),
    l2=st.floats(0.5, 5),
)
def test_slim_of_all_neighbours_is_the_non_negative_elastic_net(x, l1, l2):
    config = SlimConfig(l1=l1, l2=l2, neighbours=6, min_events=1, sweeps=1000, tolerance=1e-7)
    found = Slim(config).fit(world(np.argwhere(x), 8, 6)).between(np.arange(6), np.arange(6))
    gram = x.T.astype(float) @ x
    for j in range(6):
        others = np.flatnonzero(np.arange(6) != j)
        root = linalg.cholesky(gram[np.ix_(others, others)] + l2 * np.eye(5))
        target = linalg.solve_triangular(root, gram[others, j] - l1, trans="T")
        expected, _ = optimize.nnls(root, target)
        np.testing.assert_allclose(found[others, j], expected, atol=1e-4)


def test_slim_leaves_rare_items_out():
    scores = Slim(SlimConfig(l1=0, l2=1, min_events=3)).fit(world(FOUR)).score(ONLY_0)
    assert np.isneginf(scores).all()  # item 0 alone has three users, and nobody to speak for


def test_user_knn_by_hand():
    # cosine 1 / sqrt 2 with users 0 and 3, 1 / sqrt 3 with user 1
    scores = UserKnn(UserKnnConfig()).fit(world(FOUR)).score(ONLY_0)
    half, third = 1 / sqrt(2), 1 / sqrt(3)
    np.testing.assert_allclose(scores, [[2 * half + third, half + third, third, half]], rtol=1e-6)
    nearest = UserKnn(UserKnnConfig(neighbours=2, power=2)).fit(world(FOUR)).score(ONLY_0)
    np.testing.assert_allclose(nearest, [[1, 0.5, NOT_OFFERED, 0.5]], rtol=1e-6)


def test_user_knn_hears_who_shares_something_rare():
    scores = UserKnn(UserKnnConfig(rarity=1)).fit(world(FOUR)).score(strangers([0, 2]))
    # an item of 3 users counts 1/3, of 2 users 1/2: lengths of the query and of user 2
    query, user = sqrt(1 / 9 + 1 / 4), sqrt(1 / 4 + 1 / 4)
    with_3 = (1 / 4) / query / user + (1 / 9) / query / sqrt(1 / 9 + 1 / 4)
    assert scores[0, 3] == pytest.approx(with_3, rel=1e-5)


def test_bpr_folds_a_history_in_by_the_map_that_fits_the_users_best():
    train = world(FOUR)
    config = BprConfig(factors=2, iterations=5)
    model = Bpr(config).fit(train)
    library = model._library_model()
    x = binary(train)
    library.fit(x, show_progress=False)
    means = np.column_stack([x @ library.item_factors[:, :2] / x.sum(axis=1), np.ones(4)])
    padded = np.vstack([means, sqrt(FOLD_IN_L2) * np.eye(3)])
    to_users = np.linalg.lstsq(padded, np.vstack([library.user_factors[:, :2], np.zeros((3, 2))]), rcond=None)[0]
    user = np.append(library.item_factors[0, :2], 1) @ to_users
    expected = library.item_factors[:, :2] @ user + library.item_factors[:, 2]
    np.testing.assert_allclose(model.score(ONLY_0)[0], expected, rtol=1e-3, atol=1e-5)


def test_fusion_scores_as_its_network():
    config = FusionConfig(dim=3, hidden=5, epochs=2)
    model = Fusion(config).fit(world(FOUR))
    from ranking.candidates.fusion_network import train_network

    weights = train_network(binary(world(FOUR)), np.arange(4, dtype=np.int32), config)
    network = FusionNetwork(4, 4, 3, 5)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    user, item = torch.arange(4).repeat_interleave(4), torch.arange(4).repeat(4)
    expected = network(user, item).detach().numpy().reshape(4, 4)
    queries = ask(world(FOUR), range(4))
    np.testing.assert_allclose(model.score(queries), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.probability(queries), 1 / (1 + np.exp(-expected)), rtol=1e-4)


def test_fusion_by_hand():
    model = Fusion(FusionConfig(dim=1, hidden=1, epochs=0)).fit(world(FOUR))
    model._users, model._items = np.array([[1], [2], [3], [-9]], np.float32), np.array([[0], [1], [2], [5]], np.float32)
    model._output = np.array([0.5, -1], np.float32)
    # half of what user and item sum to, where that is above 0, less 1
    np.testing.assert_allclose(model.score(ask(world(FOUR), [1, 3])), [[0, 0.5, 1, 2.5], [-1, -1, -1, -1]])


def test_fusion_answers_a_stranger_by_the_people_of_the_history():
    model = Fusion(FusionConfig(dim=2, hidden=3, epochs=3)).fit(world(FOUR))
    stranger = model.score(strangers([3]))
    between = (model._users[2] + model._users[3]) / 2  # who has item 3
    hidden = np.maximum(between + model._items, 0)
    np.testing.assert_allclose(stranger[0], hidden @ model._output[:-1] + model._output[-1], rtol=1e-5)


def test_sasrec_learns_what_follows():
    steps = np.random.default_rng(0).integers(0, 4, 40)
    pairs = [(user, (start + step) % 4) for user, start in enumerate(steps.tolist()) for step in range(3)]
    config = SasrecConfig(dim=16, length=4, epochs=60, dropout=0, learning_rate=0.01)
    model = Sasrec(config).fit(world(pairs, 40))
    for latest in range(4):
        assert model.score(strangers([(latest - 1) % 4, latest]))[0].argmax() == (latest + 1) % 4


def test_sasrec_sees_no_later_place_and_no_padding():
    torch.manual_seed(0)
    network = SasrecNetwork(9, SasrecConfig(dim=8, length=6)).eval()
    torch.nn.init.normal_(network.place)
    one, other = torch.tensor([[0, 0, 3, 1, 2, 5], [0, 0, 3, 1, 7, 8]])
    with torch.inference_mode():
        first, second = network(torch.stack([one, other]))
        alone = network(one[None, 2:])[0]
    np.testing.assert_allclose(first[:4], second[:4], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(first[2:], alone, rtol=1e-4, atol=1e-5)


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(0, 12), min_size=1, max_size=4), length=st.integers(1, 5))
def test_sasrec_is_taught_every_step_of_every_history(lengths, length):
    pairs = [(user, place) for user, n in enumerate(lengths) for place in range(n)]
    rows = _sequences(world(pairs, len(lengths), 12), length)
    taught = {(a, b) for row in rows.tolist() for a, b in pairwise(row) if a and b}
    assert taught == {(place + 1, place + 2) for n in lengths for place in range(n - 1)}
    assert rows.shape[1] == length + 1


MODELS = (
    Bm25(Bm25Config()),
    Rp3Beta(Rp3BetaConfig()),
    Slim(SlimConfig(min_events=1)),
    UserKnn(UserKnnConfig()),
    Bpr(BprConfig(factors=2, iterations=2)),
    Fusion(FusionConfig(epochs=1)),
    Sasrec(SasrecConfig(epochs=1)),
)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_smallest_worlds_are_answered(model):
    for pairs in ([(0, 0)], [(0, 0)] * 3, [(0, 0), (1, 0)]):
        scores = model.fit(world(pairs, 2, 1)).score(ask(world(pairs, 2, 1), [0, UNKNOWN]))
        assert scores.shape == (2, 1)
        assert not np.isnan(scores).any()
        assert np.isneginf(scores[1]).all()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_models_of_liked_events_offer_nothing_where_nothing_is_liked(model):
    config = replace(model.config, memory=Memory(feedback=Feedback.POSITIVE))
    train = world(FOUR, positive=[False] * len(FOUR))
    assert np.isneginf(type(model)(config).fit(train).score(ask(train, range(4)))).all()


def test_a_window_of_training_leaves_profiles_whole():
    train = world([(0, 0), (0, 1), (1, 2), (1, 3)])
    memory = Memory(train_days=2)
    assert memory.training(train).item.tolist() == [2, 3]
    assert memory.profiles(ask(train, [0])).dense().tolist() == [[1, 1, 0, 0]]
