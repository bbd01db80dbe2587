import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from ranking import metrics

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
