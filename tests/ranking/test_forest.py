"""Boosted trees for many rows at once against LightGBM's own prediction."""

import lightgbm as lgb
import numpy as np
import pytest

from ranking.rankers.forest import ROWS, Forest

QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, "deterministic": True}


def values_of(seed: int, n: int = 2 * ROWS + 7) -> np.ndarray:
    """Six columns: numbers, whole numbers, half NaN, nearly always 0, all NaN, and of very different sizes."""
    draw = np.random.default_rng(seed)
    columns = [
        draw.normal(size=n),
        draw.integers(-3, 3, n),
        np.where(draw.random(n) < 0.5, np.nan, draw.normal(size=n)),
        np.where(draw.random(n) < 0.95, 0, draw.normal(size=n)),
        np.full(n, np.nan),
        10.0 ** draw.integers(-30, 30, n),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def booster_of(values: np.ndarray, **params: object) -> lgb.Booster:
    draw = np.random.default_rng(0)
    wanted = (np.nansum(values[:, :4], axis=1) + draw.normal(size=len(values)) > 0).astype(np.float32)
    return lgb.train(QUIET | params, lgb.Dataset(values, wanted), num_boost_round=20)


@pytest.mark.parametrize("leaves", [2, 15, 64, 300])
@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_margins_equal_those_of_lightgbm(leaves: int, objective: str):
    booster = booster_of(values_of(0), num_leaves=leaves, objective=objective)
    asked = values_of(1)
    assert np.array_equal(Forest.of([booster]).margins(asked)[0], booster.predict(asked, raw_score=True))


def test_a_value_that_lightgbm_never_saw_missing_counts_as_0_where_it_is():
    booster = booster_of(np.nan_to_num(values_of(0)), objective="binary")
    asked = values_of(1)
    assert np.array_equal(Forest.of([booster]).margins(asked)[0], booster.predict(asked, raw_score=True))


def test_infinities_and_thresholds_themselves_fall_to_the_same_side():
    booster = booster_of(values_of(0), objective="binary")
    edges = booster.trees_to_dataframe()["threshold"].dropna().to_numpy()
    edges = edges[np.abs(edges) > 1e-34]  # smaller values count as 0 in LightGBM, which the features never are
    with np.errstate(over="ignore"):
        near = edges.astype(np.float32)
    beside = [np.nextafter(near, np.float32(np.inf)), near, np.nextafter(near, np.float32(-np.inf))]
    asked = np.tile(np.concatenate([*beside, np.array([np.inf, -np.inf], np.float32)])[:, None], 6)
    assert np.array_equal(Forest.of([booster]).margins(asked)[0], booster.predict(asked, raw_score=True))


def test_a_tree_of_one_leaf_says_the_same_of_everything():
    values = values_of(0, 50)
    booster = lgb.train(QUIET, lgb.Dataset(values, np.full(50, 2.0)), num_boost_round=2)
    assert np.array_equal(Forest.of([booster]).margins(values)[0], booster.predict(values, raw_score=True))


def test_no_rows_have_no_margins_and_columns_may_lie_in_any_order_of_memory():
    booster = booster_of(values_of(0), objective="binary")
    asked = values_of(1)
    forest = Forest.of([booster])
    assert forest.margins(asked[:0]).shape == (1, 0)
    assert np.array_equal(forest.margins(np.asfortranarray(asked)), forest.margins(asked))


def test_boosters_of_different_sizes_are_told_apart():
    small, large = (booster_of(values_of(seed), num_leaves=leaves) for seed, leaves in ((0, 2), (1, 40)))
    asked = values_of(2)
    expected = [one.predict(asked, raw_score=True) for one in (small, large, small)]
    assert np.array_equal(Forest.of([small, large, small]).margins(asked), expected)
