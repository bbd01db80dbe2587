import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from validation.vector_statistics import (
    duplicate_share,
    effective_rank,
    evenly_spaced,
    ks,
    mean_pairwise_cosine,
    modality_gap,
    projected,
    psi,
)

SEEDS = st.integers(0, 2**32 - 1)


def unit(n: int, d: int, seed: int = 0):
    drawn = np.random.default_rng(seed).normal(size=(n, d))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("rank", [1, 3, 9])
def test_the_effective_rank_of_equal_spread_over_some_directions_is_their_number(rank: int) -> None:
    both_ways = np.concatenate([np.eye(16)[:rank], -np.eye(16)[:rank]]).astype(np.float32)
    assert effective_rank(both_ways) == pytest.approx(rank)
    assert effective_rank(both_ways[:, :rank]) == pytest.approx(rank)
    assert effective_rank(np.ones((5, 16), np.float32)) == 0


@given(SEEDS, st.integers(2, 30), st.integers(1, 8))
def test_the_mean_cosine_is_that_over_all_pairs(seed: int, n: int, d: int) -> None:
    rows = unit(n, d, seed)
    cosines = rows @ rows.T
    assert mean_pairwise_cosine(rows) == pytest.approx(cosines[~np.eye(n, dtype=bool)].mean(), abs=1e-5)


@given(st.lists(st.integers(0, 5), max_size=40))
def test_the_most_frequent_row_counts_if_it_stands_twice(codes: list[int]) -> None:
    rows = unit(6, 5)[np.array(codes, int)]
    most = max((codes.count(code) for code in codes), default=0)
    expected = most / len(codes) if most > 1 else 0
    assert duplicate_share(rows) == pytest.approx(expected)


def test_minus_nought_is_nought_and_columns_in_another_order_are_another_row() -> None:
    assert duplicate_share(np.array([[0.0, 1], [-0.0, 1]], np.float32)) == 1
    assert duplicate_share(np.array([[1.0, 2], [2, 1]], np.float32)) == 0


def test_duplicates_are_found_across_blocks_of_rows() -> None:
    rows = unit(3000, 4)
    rows[2999] = rows[0]
    assert duplicate_share(rows) == pytest.approx(2 / 3000)


def test_covers_of_albums_are_few_each() -> None:
    assert duplicate_share(np.repeat(unit(100, 4), 10, axis=0)) == pytest.approx(0.01)


def test_the_gap_is_the_distance_of_the_centroids() -> None:
    east, north = np.array([[1, 0], [1, 0]], np.float32), np.array([[0, 1]], np.float32)
    assert modality_gap(east, north) == pytest.approx(2**0.5)
    assert modality_gap(east, -east) == 2
    assert modality_gap(east, east[:1]) == 0


def test_projections_are_the_same_every_time_and_linear() -> None:
    rows = unit(20, 7)
    np.testing.assert_array_equal(projected(rows), projected(rows))
    np.testing.assert_allclose(projected(2 * rows), 2 * projected(rows), rtol=1e-5)
    lengths = [np.linalg.norm(column) for column in projected(np.eye(7, dtype=np.float32)).T]
    np.testing.assert_allclose(lengths, 1)


def test_psi_is_the_sum_over_deciles() -> None:
    before = np.arange(1000.0)
    assert psi(before, before) == 0
    doubled = np.concatenate([before, before[:100], before[:100]])  # the first decile holds 300 of 1,200
    p, q = np.full(10, 100.5) / 1005, np.array([300.5] + [100.5] * 9) / 1205
    assert psi(before, doubled) == pytest.approx(((q - p) * np.log(q / p)).sum())


def test_psi_of_numbers_beyond_all_that_was_is_large_and_finite() -> None:
    assert 4 < psi(np.arange(100.0), np.arange(100.0) + 1000) < 20


@given(SEEDS, st.integers(200, 400), st.integers(200, 400))
def test_psi_of_two_samples_of_one_distribution_is_as_small_as_stated(seed: int, n: int, m: int) -> None:
    draw = np.random.default_rng(seed)
    assert psi(draw.normal(size=n), draw.normal(size=m)) < 5 * 9 * (1 / n + 1 / m)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_ks_is_the_largest_distance_of_the_shares_up_to_a_number(before: list[int], now: list[int]) -> None:
    one, other = np.array(before, float), np.array(now, float)
    assert ks(one, other) == pytest.approx(max(abs((one <= at).mean() - (other <= at).mean()) for at in range(-5, 6)))


def test_ks_is_that_of_scipy() -> None:
    before, now = np.random.default_rng(0).normal(size=(2, 300))
    assert ks(before, now + 0.3) == pytest.approx(ks_2samp(before, now + 0.3).statistic)


def test_rows_are_spread_over_the_whole_table() -> None:
    assert evenly_spaced(3, 10).tolist() == [0, 1, 2]
    assert evenly_spaced(101, 3).tolist() == [0, 50, 100]
    assert evenly_spaced(0, 3).tolist() == []
