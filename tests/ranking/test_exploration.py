"""Propensities: exact, of sum 1, and what many draws show."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ranking.strategy.arrange import Pool, arrange
from ranking.strategy.diversity import Relevance
from ranking.strategy.exploration import (
    LEAST,
    POOL,
    Best,
    Epsilon,
    Explorer,
    Thompson,
    best,
    chance_of_greatest,
    deviations_of,
    draws,
    epsilon_chances,
)
from ranking.strategy.rules.compiled import NO_RULES

SCORES = np.array([2.0, 1.7, 1.6, 0.9, 0.1, -0.5])
MET = np.array([500.0, 0, 3, 40, 0, 1e6])


@pytest.mark.parametrize("n", [1, 2, POOL])
@pytest.mark.parametrize("rate", [0.01, 0.3, 1.0])
def test_epsilon_chances_sum_to_one(n, rate):
    chances = epsilon_chances(n, rate)
    assert chances.sum() == pytest.approx(1)
    assert (chances > 0).all()


@settings(max_examples=60)
@given(
    st.lists(st.floats(-3, 3), min_size=1, max_size=POOL),
    st.floats(0.001, 5),
    st.integers(0, 1000),
)
def test_the_chances_to_be_the_greatest_sum_to_one(means, deviation, seed):
    means = np.array(means)
    met = np.random.default_rng(seed).integers(0, 2000, len(means)).astype(float)
    deviations = deviations_of(met, deviation)
    chances = [chance_of_greatest(means, deviations, of) for of in range(len(means))]
    assert sum(chances) == pytest.approx(1, abs=1e-8)


def test_of_two_normals_the_chance_is_the_known_one():
    means, deviations = np.array([1.0, 0.4]), np.array([0.5, 1.2])
    expected = stats.norm.cdf(0.6 / np.hypot(0.5, 1.2))
    assert chance_of_greatest(means, deviations, 0) == pytest.approx(expected, abs=1e-10)
    assert chance_of_greatest(np.zeros(7), np.full(7, 0.3), 4) == pytest.approx(1 / 7, abs=1e-10)


def test_an_item_varies_the_less_the_more_it_is_known():
    found = deviations_of(np.array([0.0, 10.0, 1e9]), 2.0)
    assert found.tolist() == [2.0, pytest.approx(2 / np.sqrt(2)), 2 * LEAST]


@pytest.mark.parametrize("explorer", [Explorer.EPSILON, Explorer.THOMPSON])
def test_propensities_are_the_frequencies_of_many_pages(explorer):
    """The first slot's, and the second's given the first, by a chi-square test each."""
    n = 4000
    first, second = np.zeros(6), np.zeros(6)
    told_first, told_second = np.zeros(6), np.zeros(6)
    items = np.arange(6, dtype=np.int32)
    pool = Pool(items, SCORES, [], MET, np.ones(6, bool), lambda: items[:0])
    for seed in range(n):
        chance = draws(explorer, 0.6, SCORES, seed=seed)
        seats = arrange(pool, NO_RULES, k=2, relevance=lambda: Relevance(SCORES), draws=chance).seats
        first[seats[0].item] += 1
        told_first[seats[0].item] = seats[0].propensity
        if seats[0].item == 0:
            second[seats[1].item] += 1
            told_second[seats[1].item] = seats[1].propensity
    for counts, told in ((first, told_first), (second, told_second)):
        likely = told * counts.sum() > 5
        assert told.sum() == pytest.approx(1, abs=0.01)  # what never came has next to no chance
        expected = told[likely] / told[likely].sum() * counts[likely].sum()
        assert stats.chisquare(counts[likely], expected).pvalue > 0.001


def test_the_same_seed_draws_the_same_page():
    for explorer in Explorer:
        one, two = (draws(explorer, 0.5, SCORES, seed=7) for _ in range(2))
        assert [one.draw(SCORES, MET) for _ in range(20)] == [two.draw(SCORES, MET) for _ in range(20)]


def test_without_exploration_the_best_is_shown_for_certain():
    for explorer in Explorer:
        chance = draws(explorer, 0.0, SCORES, seed=1)
        assert isinstance(chance, Best)
        assert chance.draw(SCORES[::-1].copy(), MET).index == 5
        assert chance.draw(SCORES, MET).propensity == 1


def test_full_epsilon_draws_the_pool_evenly_and_nothing_below_it():
    values = np.linspace(1, 0, 50)
    chance = Epsilon(1.0, np.random.default_rng(0))
    found = [chance.draw(values, np.zeros(50)) for _ in range(1500)]
    assert {one.index for one in found} == set(range(POOL))
    assert {one.propensity for one in found} == {1 / POOL}


def test_an_unknown_item_is_drawn_more_often_than_a_known_one_of_the_same_score():
    values = np.array([1.0, 0.5, 0.5])
    chance = Thompson(0.5, np.random.default_rng(0))
    found = [chance.draw(values, np.array([100.0, 0.0, 1e6])).index for _ in range(800)]
    assert found.count(1) > 3 * found.count(2)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60), st.integers(1, 30))
def test_the_best_are_those_of_a_stable_sort(values, n):
    found = best(np.array(values, float), n).tolist()
    assert found == sorted(range(len(values)), key=lambda at: (-values[at], at))[:n]
