"""Coverage by prices: off it changes nothing, on it shows more of the catalogue and keeps sets and loss in bounds."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.metrics import coverage, ndcg
from ranking.strategy.spread import BUDGET, MIN_ANSWERS, K, Spread, in_units
from ranking.types import UNKNOWN

Q, WIDTH, ITEMS = 240, 40, 400


def answers(seed: int = 0, q: int = Q) -> tuple[np.ndarray, np.ndarray]:
    """Everybody's favourites are much the same items; the last places of some answers are empty."""
    rng = np.random.default_rng(seed)
    scores = -0.02 * np.arange(ITEMS) + rng.gumbel(size=(q, ITEMS)) * 0.8
    items = np.argsort(-scores, axis=1)[:, :WIDTH]
    best = np.take_along_axis(scores, items, axis=1).astype(np.float32)
    items = items.astype(np.int32)
    items[::5, -6:], best[::5, -6:] = UNKNOWN, -np.inf
    return items, best


@pytest.fixture(scope="module")
def learned() -> Spread:
    items, scores = answers()
    hits = (np.random.default_rng(9).random(items.shape) < 0.5 / (1 + np.arange(WIDTH))) & (items != UNKNOWN)
    return Spread.learn(items, scores, hits, np.maximum(hits.sum(axis=1), 1), n_items=ITEMS)


def test_without_spread_nothing_changes(learned):
    items, scores = answers(1)
    assert (learned.order(items, scores, spread=0.0) == np.arange(WIDTH)).all()


@given(st.integers(0, 1000), st.floats(0, 1))
def test_answers_keep_their_items_and_the_rankers_order_among_the_first_and_among_the_others(learned, seed, spread):
    items, scores = answers(seed, q=7)
    places = learned.order(items, scores, spread=spread)
    assert (np.sort(places, axis=1) == np.arange(WIDTH)).all()
    assert (np.diff(places[:, :K], axis=1) > 0).all()
    assert (np.diff(places[:, K:], axis=1) > 0).all()
    assert (np.take_along_axis(items, places, axis=1)[:, :K] != UNKNOWN).all()


def test_more_items_are_shown_and_no_more_than_the_budget_is_lost():
    items, scores = answers()
    hits = (np.random.default_rng(9).random(items.shape) < 0.5 / (1 + np.arange(WIDTH))) & (items != UNKNOWN)
    wanted = np.maximum(hits.sum(axis=1), 1)
    found = Spread.learn(items, scores, hits, wanted, n_items=ITEMS)
    places = found.order(items, scores, spread=1.0)
    assert coverage(np.take_along_axis(items, places, axis=1), ITEMS, K) > coverage(items, ITEMS, K)
    lost = 1 - ndcg(np.take_along_axis(hits, places, axis=1), wanted, K).mean() / ndcg(hits, wanted, K).mean()
    assert lost <= BUDGET


def test_the_price_of_a_place_is_what_the_cheapest_answer_gives_up_for_it():
    items = np.array([[*range(10), 10, 11], [*range(10), 11, 10], [*range(9), 10, -1, -1]], np.int32)
    scores = np.tile(np.arange(11, -1, -1).astype(np.float32), (3, 1))
    scores[1, 10] = 1.9  # the second answer's eleventh is nearly as good as its tenth
    scores[2, 10:] = -np.inf
    units = in_units(items, scores)
    levels = np.array([units.min(), units.max()])
    spread = Spread(levels, (levels + 9) / 100, 1.0, np.zeros(12, np.float32)).priced(items, scores)
    last = 1 / np.log2(11)  # the chances of one hit in all: the ideal is the first place
    asked = last * (units[1, 9] - units[1, 10]) / 100
    assert ((units[1] + 9) / 100).sum() == pytest.approx(1.08)
    assert spread.prices[11] == pytest.approx(asked, rel=0.1)
    assert not spread.prices[:9].any()
    shown = np.take_along_axis(items, spread.order(items, scores, spread=1.0), axis=1)[:, :K]
    assert 11 in shown[1]
    assert 11 not in shown[0]


def test_a_batch_is_ordered_as_its_single_answers(learned):
    items, scores = answers(2)
    whole = learned.order(items, scores, spread=1.0)
    for row in range(0, Q, 17):
        one = slice(row, row + 1)
        assert np.array_equal(learned.order(items[one], scores[one], spread=1.0)[0], whole[row])


def test_short_and_missing_answers_stay_as_they_are(learned):
    items, scores = answers(3)
    few = learned.order(items[:, :K], scores[:, :K], spread=1.0)
    assert (few == np.arange(K)).all()
    assert learned.order(items[:0], scores[:0], spread=1.0).shape == (0, WIDTH)
    nothing = Spread.learn(items[:0], scores[:0], np.zeros((0, WIDTH), bool), np.zeros(0, np.int64), n_items=ITEMS)
    assert (nothing.order(items, scores, spread=1.0) == np.arange(WIDTH)).all()


def test_a_spread_outside_its_range_is_refused(learned):
    with pytest.raises(ValueError, match="from 0 to 1"):
        learned.order(*answers(), spread=1.5)


def test_saved_prices_order_alike(learned, tmp_path: Path):
    learned.save(tmp_path)
    again = Spread.load(tmp_path)
    items, scores = answers(4)
    assert (again.cap, again.prices.tolist()) == (learned.cap, learned.prices.tolist())
    places = [one.order(items, scores, spread=0.7) for one in (learned, again)]
    assert np.array_equal(*places)


def test_few_answers_are_no_ground_for_paying_prices():
    items, scores = answers(q=MIN_ANSWERS - 1)
    hits = np.arange(WIDTH) < 1 + np.zeros((len(items), 1))
    found = Spread.learn(items, scores, hits, np.ones(len(items), np.int64), n_items=ITEMS)
    assert found.cap == 0
    assert (found.order(items, scores, spread=1.0) == np.arange(WIDTH)).all()
