"""Weights of groups of generators."""

import numpy as np
import pytest

from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED
from ranking.strategy.generators import GENERATORS
from ranking.strategy.weighting import GROUPS, UNWEIGHTED, Group, Weights, in_deviations, lifted
from ranking.types import UNKNOWN

CANDIDATES = Candidates(
    generators=("popular", "ease", "bpr"),
    item=np.array([[7, 3, 5, UNKNOWN]], np.int32),
    fused=np.array([[3, 2, 1, 0]], np.float32),
    rank=np.array([[[1, 1, 3], [2, 0, 2], [3, 2, 1], [0, 0, 0]]], np.int32),
    score=np.array([[[9, 4, 0], [3, NOT_OFFERED, 1], [0, 2, 2], [NOT_OFFERED] * 3]], np.float32),
)


def test_every_generator_is_in_a_group():
    assert GROUPS.keys() == GENERATORS.keys()


def test_a_weight_of_one_adds_nothing():
    assert not UNWEIGHTED
    assert lifted(CANDIDATES, 0, UNWEIGHTED).tolist() == [0, 0, 0]
    assert lifted(CANDIDATES, 0, Weights(content=3, context=0)).tolist() == [0, 0, 0]  # nobody of the group is there


def test_a_weight_adds_its_groups_standardised_scores():
    popular = (np.array([9, 3, 0]) - 4) / np.std([9, 3, 0])
    np.testing.assert_allclose(lifted(CANDIDATES, 0, Weights(popularity=3)), 2 * popular, rtol=1e-6)
    np.testing.assert_allclose(lifted(CANDIDATES, 0, Weights(popularity=0)), -popular, rtol=1e-6)


def test_a_group_of_several_is_their_mean_and_what_one_does_not_offer_counts_as_its_mean():
    ease, bpr = np.array([1.0, 0, -1]), np.array([-1.0, 0, 1]) * np.sqrt(1.5)
    mean = (ease + bpr) / 2
    np.testing.assert_allclose(lifted(CANDIDATES, 0, Weights(collaborative=2)), mean / mean.std(), rtol=1e-6)


@pytest.mark.parametrize("scores", [[np.nan, np.nan], [3.0, 3.0], [3.0, np.nan], []])
def test_scores_that_tell_nothing_are_zero(scores):
    assert in_deviations(np.array(scores)).tolist() == [0.0] * len(scores)


def test_there_is_a_weight_for_every_group():
    assert {Weights(**{group: 2.0}).of(group) for group in Group} == {2.0}
