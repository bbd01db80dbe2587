"""Predicted ratings: known answers of each part, and of all together."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from ranking.candidates.least_squares import solve_rows
from ranking.rankers.ratings import Rated, Ratings, RatingsConfig, alternated, biases

TABLE = np.array([[5.0, 4.0, 3.0], [4.0, 3.0, 2.0], [3.0, 2.0, 1.0]])  # 3 and 1, 0, -1 of the user and of the item


def rated(table, *, missing=()):
    """All cells of a table, users in rows, but those missing."""
    user, item = (one.ravel().astype(np.int32) for one in np.indices(table.shape))
    there = np.array([pair not in missing for pair in zip(user.tolist(), item.tolist(), strict=True)])
    return Rated(user[there], item[there], table.ravel()[there], *table.shape)


def tasteful(seed=0, users=60, items=40, share=0.5):
    """Ratings by two tastes and the items that they are of: values, and the items' content [n, 2]."""
    draw = np.random.default_rng(seed)
    content = draw.normal(size=(items, 2))
    table = 3 + draw.normal(size=(users, 2)) @ content.T
    hidden = draw.random(table.shape) >= share
    pairs = np.argwhere(~hidden)
    known = Rated(*pairs.T.astype(np.int32), table[~hidden], users, items)
    return table, hidden, known, content.astype(np.float32)


def test_without_a_prior_the_biases_of_a_sum_are_its_terms():
    known = rated(TABLE)
    user, item = biases(known, known.value - 3, user_prior=0, item_prior=0)
    np.testing.assert_allclose(user, [1, 0, -1], atol=1e-12)
    np.testing.assert_allclose(item, [1, 0, -1], atol=1e-12)


def test_one_rating_moves_a_bias_by_one_share_of_the_prior():
    known = Rated(np.zeros(1, np.int32), np.zeros(1, np.int32), np.array([5.0]), 2, 2)
    user, item = biases(known, np.array([2.0]), user_prior=np.inf, item_prior=3)
    np.testing.assert_allclose(item, [2 / (1 + 3), 0])
    assert not user.any()


def test_biases_solve_the_damped_least_squares():
    known = rated(TABLE * np.array([1, 0.5, 1.5]), missing={(0, 2), (1, 0)})
    above = known.value - known.value.mean()
    design = np.hstack([np.eye(3)[known.user], np.eye(3)[known.item]])
    damped = np.diag([7.0] * 3 + [5.0] * 3)
    wanted = np.linalg.solve(design.T @ design + damped, design.T @ above)
    np.testing.assert_allclose(np.concatenate(biases(known, above, user_prior=7, item_prior=5)), wanted, atol=1e-6)


def test_rows_are_the_ridge_regression_of_what_is_wanted():
    draw = np.random.default_rng(0)
    there = draw.random((6, 9)) < 0.5
    ones = sparse.csr_matrix(there.astype(np.float64))
    factors, wanted = draw.normal(size=(9, 3)), draw.normal(size=there.shape)
    found = solve_rows(ones, factors, np.zeros((3, 3)), np.full(6, 2.0), wanted=wanted[there])
    for row, solution in enumerate(found):
        near = factors[there[row]]
        by_hand = np.linalg.solve(near.T @ near + 2 * np.eye(3), near.T @ wanted[row, there[row]])
        np.testing.assert_allclose(solution, by_hand)


def test_no_round_of_alternating_makes_the_error_larger():
    _, _, known, _ = tasteful()
    config, rest = RatingsConfig(factors=3, l2=2.0, rounds=15), known.value - known.value.mean()
    losses = [
        np.sum((rest - (users[known.user] * items[known.item]).sum(axis=1)) ** 2)
        + config.l2 * (np.sum(users**2) + np.sum(items**2))
        for users, items in alternated(known, rest, config)
    ]
    assert len(losses) == 15
    assert losses[-1] < 0.9 * losses[0]
    assert (np.diff(losses) <= 1e-9).all()


def test_factors_find_what_biases_cannot_say():
    table, hidden, known, _ = tasteful()
    asked = np.argwhere(hidden).T.astype(np.int32)

    def error(config):
        return np.sqrt(np.mean((Ratings.fit(known, config).predict(*asked) - table[hidden]) ** 2))

    assert error(RatingsConfig(factors=2, l2=0.5, rounds=20)) < 0.5 * error(RatingsConfig())


def test_content_tells_of_an_item_that_nobody_rated():
    table, _, known, content = tasteful()
    warm = known.item != 7
    known = Rated(known.user[warm], known.item[warm], known.value[warm], known.n_users, known.n_items)
    asked = np.arange(known.n_users, dtype=np.int32), np.full(known.n_users, 7, np.int32)
    told = Ratings.fit(known, RatingsConfig(content_l2=0.5, user_prior=50), content=content).predict(*asked)
    assert np.corrcoef(told, table[:, 7])[0, 1] > 0.9
    plain = Ratings.fit(known, RatingsConfig(factors=2)).predict(*asked)
    assert np.corrcoef(plain, table[:, 7])[0, 1] < 0.7


def test_of_several_ratings_of_a_pair_the_last_counts():
    user, item = np.array([0, 1, 0, 1], np.int32), np.array([0, 1, 0, 0], np.int32)
    known = Rated(user, item, np.array([1.0, 2.0, 5.0, 4.0]), 2, 2).last()
    assert known.value.tolist() == [2.0, 5.0, 4.0]
    assert (known.user.tolist(), known.item.tolist()) == ([1, 0, 1], [1, 0, 0])


def test_who_and_what_is_unknown_gets_the_mean_and_nothing_leaves_the_scale():
    known = replace(rated(TABLE), n_users=4, n_items=4)
    model = Ratings.fit(known, RatingsConfig(item_prior=0, user_prior=0, factors=2))
    assert model.predict(np.array([3], np.int32), np.array([3], np.int32)) == pytest.approx(3)
    everybody = model.predict(*(one.ravel().astype(np.int32) for one in np.indices((4, 4))))
    assert (everybody.min(), everybody.max()) == (1.0, 5.0)


def test_a_saved_model_answers_alike(tmp_path):
    _, _, known, content = tasteful()
    model = Ratings.fit(known, RatingsConfig(content_l2=2.0, factors=2), content=content)
    model.save(tmp_path)
    asked = known.user[:50], known.item[:50]
    np.testing.assert_array_equal(Ratings.load(tmp_path).predict(*asked), model.predict(*asked))
