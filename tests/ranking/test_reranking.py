"""Scores of the last stage: what weights and boosts add, and what they leave."""

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import schema
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED
from ranking.strategy.reranking import Reranker, Wishes
from ranking.strategy.rules.compiled import RuleSet
from ranking.strategy.weighting import Weights, lifted
from ranking.types import UNKNOWN, Queries

N = 8
ITEMS = [{"item_id": f"i{n}", "categories": ["even" if n % 2 == 0 else "odd"]} for n in range(N)]
CANDIDATES = Candidates(
    generators=("popular", "ease"),
    item=np.array([[4, 1, 6, 3, UNKNOWN]], np.int32),
    fused=np.array([[4, 3, 2, 1, 0]], np.float32),
    rank=np.array([[[1, 4], [2, 3], [3, 2], [4, 1], [0, 0]]], np.int32),
    score=np.array([[[9, 1], [5, 2], [2, 3], [1, 5], [NOT_OFFERED] * 2]], np.float32),
)
PLACE, SCORE = np.array([2, 0, 3, 1]), np.array([3.0, 2.5, 1.0, 0.5], np.float32)  # items 6, 4, 3, 1
MET = np.zeros(N)


@pytest.fixture(scope="module")
def reranker() -> Reranker:
    vectors, appeal = np.eye(N, dtype=np.float32), np.arange(N, dtype=np.float32)
    created_at = np.where(np.arange(N) == 7, 200, 0)
    return Reranker(pa.Table.from_pylist(ITEMS, schema.ITEMS), vectors=vectors, appeal=appeal, created_at=created_at)


def query() -> Queries:
    """At moment 100; item 0 was met at 10."""
    nothing = np.array([None], object)
    return Queries(
        user=np.zeros(1, np.int32),
        at=np.array([100]),
        as_of=np.array([100]),
        device=nothing,
        place=nothing,
        indptr=np.array([0, 1]),
        item=np.array([0], np.int32),
        occurred_at=np.array([10]),
        weight=np.ones(1, np.float32),
        positive=np.ones(1, bool),
        n_items=N,
    )


def page(reranker: Reranker, *texts: str, k: int = 4, score=SCORE, shown=(), **wishes: object):
    rules: RuleSet = reranker.compiler.compile(texts)
    allowed = reranker.allowed(rules, query(), shown)
    return reranker.page(
        CANDIDATES,
        query(),
        Wishes(rules, **wishes),
        place=PLACE,
        score=score,
        k=k,
        met=MET,
        allowed=allowed,
        seed=3,
    )


def test_a_rule_without_effect_leaves_order_and_scores(reranker):
    found = page(reranker, "cap categories at 4")
    assert [seat.item for seat in found.seats] == [6, 4, 3, 1]
    assert [seat.score for seat in found.seats] == SCORE.tolist()
    assert [seat.place for seat in found.seats] == [0, 1, 2, 3]


def test_boosts_add_their_logarithm_in_deviations_of_the_slate(reranker):
    found = page(reranker, "boost 2 where item_id = 'i1'", "boost 3 where categories has 'odd'", k=4)
    scores = {seat.item: seat.score for seat in found.seats}
    assert scores == {
        6: 3.0,
        4: 2.5,
        3: pytest.approx(1 + np.log(3) * SCORE.std()),
        1: pytest.approx(0.5 + np.log(6) * SCORE.std()),
    }


def test_weights_add_what_their_groups_say_in_deviations_of_the_slate(reranker):
    weights = Weights(popularity=0.0, collaborative=3.0)
    found = {seat.item: seat.score for seat in page(reranker, weights=weights).seats}
    added = lifted(CANDIDATES, 0, weights)
    for place, item in enumerate(CANDIDATES.item[0, :4].tolist()):
        before = SCORE[PLACE.tolist().index(place)]
        assert found[item] == pytest.approx(before + SCORE.std() * added[place])
    assert added[3] > 0 > added[0]


def test_the_order_of_spreading_stays(reranker):
    passed = np.array([3.0, 0.7, 2.0, 0.5], np.float32)  # the second has passed the third
    assert [seat.item for seat in page(reranker, "cap categories at 4", score=passed).seats] == [6, 4, 3, 1]


def test_further_items_come_by_what_their_content_promises(reranker):
    """All that exist, were not met and are no candidates: 5 and 2; 7 is yet to come."""
    found = page(reranker, "cap categories at 4", k=8)
    assert [seat.item for seat in found.seats] == [6, 4, 3, 1, 5, 2]


def test_what_was_shown_lately_is_not_allowed(reranker):
    shown = [(np.array([1, 4], np.int32), np.array([95, 20]))]
    rules = reranker.compiler.compile(["no repeats within 1 minute"])
    within = RuleSet(repeats=(type(rules.repeats[0])("", 10),))
    assert np.flatnonzero(reranker.allowed(within, query(), shown)).tolist() == [0, 2, 3, 4, 5, 6]
    assert reranker.allowed(RuleSet(), query(), shown) is None


def test_a_pin_of_an_item_that_does_not_exist_yet_is_not_followed(reranker):
    found = page(reranker, "pin 'i7' at 1", "pin 'i0' at 2")
    assert [seat.item for seat in found.seats][:2] == [6, 0]
    assert "pin 'i7' at 1: not followed" in found.notes[0]
