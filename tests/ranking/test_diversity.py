"""Maximal marginal relevance against a plain greedy search, and calibration against a calculation by hand."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feature_repo import schema
from ranking.strategy.arrange import Pool, arrange
from ranking.strategy.diversity import SMOOTHING, Entries, MarginalRelevance, Relevance, Variety, divergence
from ranking.strategy.exploration import Best
from ranking.strategy.rules.compiled import NO_RULES
from ranking.types import Queries


def variety_of(rng: np.random.Generator, n: int, categories: int) -> Variety:
    vectors = rng.normal(size=(n, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[rng.random(n) < 0.2] = 0  # without content
    has = rng.random((n, categories)) < 0.4
    return Variety(vectors, sparse.csr_matrix((has / np.maximum(has.sum(axis=1, keepdims=True), 1)).astype(np.float32)))


def shown(variety: Variety, items, scores, wanted, diversity: float, k: int) -> list[int]:
    pool = Pool(items, scores, [], np.zeros(len(items)), np.ones(len(variety.vectors), bool), lambda: items[:0])
    page = arrange(
        pool,
        NO_RULES,
        k=k,
        relevance=lambda: MarginalRelevance(variety, items, scores, wanted=wanted, diversity=diversity),
        draws=Best(),
    )
    return [seat.item for seat in page.seats]


def brute_force(variety: Variety, items, scores, wanted, diversity: float, k: int) -> list[list[int]]:
    """For each slot all items that are the best within rounding, after the first of them was taken each time."""
    shares = variety.shares.toarray().astype(float)
    relevance = (scores - scores.min()) / np.ptp(scores)
    chosen: list[int] = []
    slots = []
    for _ in range(k):
        values = {}
        for item, relevant in zip(items.tolist(), relevance, strict=True):
            if item in chosen:
                continue
            nearest = max((float(variety.vectors[item] @ variety.vectors[one]) for one in chosen), default=0.0)
            mix = (1 - SMOOTHING) * shares[[*chosen, item]].mean(axis=0) + SMOOTHING * wanted
            off = sum(p * np.log(p / q) for p, q in zip(wanted, mix, strict=True) if p > 0)
            values[item] = (1 - diversity) * relevant - diversity * (nearest + off)
        best = max(values.values())
        slots.append([item for item, value in values.items() if value > best - 1e-4])
        chosen.append(max(values, key=values.__getitem__))
    return slots


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 0.3, 0.7, 1.0]), st.booleans())
def test_a_page_is_what_a_greedy_search_finds(seed, diversity, taste):
    rng = np.random.default_rng(seed)
    variety = variety_of(rng, 30, 5)
    items = rng.permutation(30)[:20].astype(np.int32)
    scores = np.sort(rng.normal(size=20))[::-1].copy()
    wanted = (rng.dirichlet(np.ones(5)) if taste else np.zeros(5)).astype(np.float32)
    wanted[rng.random(5) < 0.3] = 0
    wanted /= max(wanted.sum(), 1e-9)
    found = shown(variety, items, scores, wanted, diversity, 8)
    for item, best in zip(found, brute_force(variety, items, scores, wanted, diversity, 8), strict=True):
        assert item in best
        if len(best) > 1:
            break  # a tie: the pages may part here


def test_a_page_takes_up_the_users_mix():
    """Seven parts drama to three of comedy, in history and page, though all dramas are scored above."""
    n = 20
    shares = sparse.csr_matrix(np.eye(2, dtype=np.float32)[[0] * 10 + [1] * 10])
    variety = Variety(np.zeros((n, 2), np.float32), shares)
    items, scores = np.arange(n, dtype=np.int32), np.linspace(1, 0, n)
    dramas = [
        sum(item < 10 for item in shown(variety, items, scores, np.array([0.7, 0.3], np.float32), diversity, 10))
        for diversity in (0.001, 0.5, 1.0)
    ]
    assert dramas == [10, 9, 7]


def test_like_items_are_kept_apart():
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0.6, 0.8]], np.float32)
    variety = Variety(vectors, sparse.csr_matrix((4, 1), dtype=np.float32))
    items, scores = np.arange(4, dtype=np.int32), np.array([4.0, 3.9, 2.5, 2.4])
    nothing = np.zeros(1, np.float32)
    assert shown(variety, items, scores, nothing, 0.5, 4)[:2] == [0, 2]
    assert shown(variety, items, scores, nothing, 0.001, 4) == [0, 1, 2, 3]


def test_divergence_is_stecks_by_hand():
    """Wanted 1/2, 1/4, 1/4; the page holds one item of the first; one of the second joins: 1/2, 1/2, 0."""
    wanted = np.array([0.5, 0.25, 0.25])
    joining = Entries(1, np.array([0]), np.array([1]), np.ones(1))
    found = divergence(wanted, np.array([1.0, 0, 0]), joining, 2)
    smoothed = 0.99 * np.array([0.5, 0.5, 0]) + 0.01 * wanted
    by_hand = 0.5 * np.log(0.5 / smoothed[0]) + 0.25 * np.log(0.25 / smoothed[1]) + 0.25 * np.log(100)
    assert found[0] == pytest.approx(by_hand, abs=1e-12)


def test_the_mix_is_of_what_was_liked_each_item_divided_among_its_categories():
    rows = [{"item_id": f"i{n}", "categories": mine} for n, mine in enumerate([["a"], ["a", "b"], ["c"], []])]
    table = pa.Table.from_pylist(rows, schema.ITEMS)
    variety = Variety.of(table, np.zeros((4, 2), np.float32))
    assert variety.shares.toarray().tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]]
    query = Queries(
        user=np.zeros(1, np.int32),
        at=np.array([9]),
        as_of=np.array([9]),
        device=np.array([None], object),
        place=np.array([None], object),
        indptr=np.array([0, 4]),
        item=np.array([0, 1, 2, 3], np.int32),
        occurred_at=np.arange(4),
        weight=np.ones(4, np.float32),
        positive=np.array([True, True, False, True]),
        n_items=4,
    )
    assert variety.mix(query).tolist() == [0.75, 0.25, 0]
    found = variety.entries(np.array([2, 3, 1], np.int32), np.array([1, 2]))
    assert (found.n, found.row.tolist(), found.column.tolist(), found.share.tolist()) == (3, [0, 2], [1, 0], [1, 0.5])


def test_plain_relevance_does_not_change():
    plain = Relevance(np.array([3.0, 1.0]))
    plain.take(0)
    assert plain.values().tolist() == [3.0, 1.0]
