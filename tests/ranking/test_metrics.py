import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from ranking import metrics
from tests.ranx_process import ranx_process

N_ITEMS = 15


@st.composite
def rankings(draw):
    """A ranking of distinct items, perhaps filled up with -1, and a non-empty set of relevant items."""
    ranked = draw(st.permutations(range(N_ITEMS)))[: draw(st.integers(1, N_ITEMS))]
    relevant = draw(st.sets(st.integers(0, N_ITEMS - 1), min_size=1))
    return ranked, relevant


def arrays_of(run):
    items = np.full((len(run), N_ITEMS), -1, np.int32)
    relevant = np.zeros((len(run), N_ITEMS), bool)
    for row, (ranked, wanted) in enumerate(run):
        items[row, : len(ranked)] = ranked
        relevant[row, list(wanted)] = True
    return items, metrics.hits_of(items, sparse.csr_matrix(relevant)), relevant.sum(axis=1)


runs = st.lists(rankings(), min_size=1, max_size=4)
cutoffs = st.integers(1, 20)


@given(runs, cutoffs)
def test_ndcg_equals_its_definition_term_by_term(run, k):
    _, hits, n_relevant = arrays_of(run)
    for value, (ranked, wanted) in zip(metrics.ndcg(hits, n_relevant, k), run, strict=True):
        dcg = sum(1 / math.log2(rank + 1) for rank, item in enumerate(ranked[:k], start=1) if item in wanted)
        ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(wanted)) + 1))
        assert math.isclose(value, dcg / ideal)


@given(runs, cutoffs)
def test_recall_and_reciprocal_rank_equal_their_definitions(run, k):
    _, hits, n_relevant = arrays_of(run)
    recall, reciprocal = metrics.recall(hits, n_relevant, k), metrics.reciprocal_rank(hits, k)
    for row, (ranked, wanted) in enumerate(run):
        ranks = [rank for rank, item in enumerate(ranked[:k], start=1) if item in wanted]
        assert math.isclose(recall[row], len(ranks) / len(wanted))
        assert math.isclose(reciprocal[row], 1 / ranks[0] if ranks else 0)


@given(runs, cutoffs)
def test_coverage_counts_distinct_items_of_the_top(run, k):
    items, _, _ = arrays_of(run)
    shown = {item for ranked, _ in run for item in ranked[:k]}
    assert metrics.coverage(items, N_ITEMS, k) == len(shown) / N_ITEMS


@given(runs)
def test_a_perfect_ranking_has_an_ndcg_of_one(run):
    perfect = [(sorted(wanted) + [item for item in range(N_ITEMS) if item not in wanted], wanted) for _, wanted in run]
    _, hits, n_relevant = arrays_of(perfect)
    assert np.allclose(metrics.ndcg(hits, n_relevant, 10), 1)


@pytest.fixture(scope="module")
def evaluate():
    with ranx_process() as evaluate:
        yield evaluate


@settings(max_examples=40)
@given(run=runs, k=cutoffs)
@example(run=[([0, 1], {2})], k=1)  # no hit at all
def test_metrics_equal_those_of_ranx(evaluate, run, k):
    _, hits, n_relevant = arrays_of(run)
    wanted = {f"q{row}": {f"i{item}": 1 for item in relevant} for row, (_, relevant) in enumerate(run)}
    ranked = {
        f"q{row}": {f"i{item}": -float(place) for place, item in enumerate(one)} for row, (one, _) in enumerate(run)
    }
    names = [f"{metric}@{k}" for metric in ("ndcg", "recall", "mrr", "map", "hit_rate")]
    theirs = evaluate(wanted, ranked, names)
    ours = (
        metrics.ndcg(hits, n_relevant, k),
        metrics.recall(hits, n_relevant, k),
        metrics.reciprocal_rank(hits, k),
        metrics.average_precision(hits, n_relevant, k),
        metrics.hit_rate(hits, k),
    )
    for name, values in zip(names, ours, strict=True):
        assert np.allclose(values, theirs[name]), name


@given(runs, cutoffs)
def test_gini_is_half_the_mean_difference_over_the_mean(run, k):
    items, _, _ = arrays_of(run)
    shown = [item for ranked, _ in run for item in ranked[:k]]
    times = [shown.count(item) for item in range(N_ITEMS)]
    apart = sum(abs(one - other) for one in times for other in times)
    assert math.isclose(metrics.gini(items, N_ITEMS, k), apart / (2 * N_ITEMS * len(shown)), abs_tol=1e-12)


def test_everything_shown_equally_often_has_a_gini_of_zero_and_one_item_alone_almost_one():
    assert metrics.gini(np.arange(N_ITEMS).reshape(3, 5), N_ITEMS, 5) == pytest.approx(0)
    assert metrics.gini(np.full((7, 1), 4), N_ITEMS, 5) == pytest.approx(1 - 1 / N_ITEMS)
    assert math.isnan(metrics.gini(np.full((2, 3), -1), N_ITEMS, 5))


def test_lists_without_two_items_of_known_content_have_no_diversity():
    vectors = np.eye(3, dtype=np.float32)
    vectors[2] = 0
    found = metrics.diversity(np.array([[0, 2], [0, -1], [0, 1], [-1, -1]], np.int32), vectors, 2)
    assert np.isnan(found).tolist() == [True, True, False, True]
    assert found[2] == 1


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_percentiles_of_popularity_average_to_a_half(events):
    assert metrics.popularity_percentile(np.array(events)).mean() == pytest.approx(0.5)
