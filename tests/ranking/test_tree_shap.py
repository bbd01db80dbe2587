"""What columns add to the margins of boosted trees, against LightGBM's own TreeSHAP and the definition of Shapley."""

from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ranking.rankers.forest import Tree, trees_of
from ranking.rankers.tree_shap import Paths

QUIET = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, "deterministic": True, "force_row_wise": True}


def values_of(seed: int, n: int = 300, columns: int = 8) -> np.ndarray:
    """Numbers, some of them NaN, 0, infinite or of few values."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(n, columns))
    values[draw.random(values.shape) < 0.2] = np.nan
    values[draw.random(values.shape) < 0.1] = 0
    values[:, -1] = draw.integers(-2, 3, n)
    values[draw.random(values.shape) < 0.01] = np.inf
    return values.astype(np.float32)


def booster_of(values: np.ndarray, *, rounds: int = 12, **params: object) -> lgb.Booster:
    draw = np.random.default_rng(0)
    finite = np.clip(np.nan_to_num(values), -3, 3)
    wanted = (finite[:, 0] * finite[:, -1] + finite[:, 1] + draw.normal(size=len(values)) > 0).astype(np.float32)
    return lgb.train(QUIET | params, lgb.Dataset(values, wanted), num_boost_round=rounds)


@given(
    seed=st.integers(0, 2**16),
    leaves=st.sampled_from([2, 3, 7, 15, 64]),
    columns=st.integers(2, 12),
    bagged=st.booleans(),
    gaps=st.booleans(),
)
@example(seed=11457, leaves=7, columns=5, bagged=True, gaps=True)  # has an infinite edge, and an infinite value
@settings(max_examples=25, deadline=None)
def test_parts_are_those_of_lightgbm(seed: int, leaves: int, columns: int, bagged: bool, gaps: bool):
    values, asked = values_of(seed, columns=columns), values_of(seed + 1, 40, columns)
    rows = {"bagging_fraction": 0.6, "bagging_freq": 1, "seed": seed} if bagged else {}
    booster = booster_of(values if gaps else np.nan_to_num(values), num_leaves=leaves, objective="binary", **rows)
    expected = booster.predict(asked, pred_contrib=True)[:, :-1]
    np.testing.assert_allclose(Paths.of(booster).added(asked), expected, atol=1e-9)


def test_parts_are_shapley_values_of_expectations_along_the_tree():
    values = values_of(3, columns=4)
    booster = booster_of(values, rounds=1, num_leaves=9, objective="regression")
    [tree] = trees_of(booster)
    row, columns = values[7], range(4)

    def expected(known: frozenset[int], child: int = 0) -> float:
        if child < 0:
            return float(tree.value[~child])
        left, right, column = int(tree.left[child]), int(tree.right[child]), int(tree.column[child])
        if column in known:
            value = row[column]
            goes_left = tree.missing_left[child] if np.isnan(value) else value <= tree.threshold[child]
            return expected(known, left if goes_left else right)
        share = rows_of(tree, left) / rows_of(tree, child)
        return share * expected(known, left) + (1 - share) * expected(known, right)

    def shapley(column: int) -> float:
        others = [one for one in columns if one != column]
        return sum(
            factorial(size) * factorial(3 - size) / factorial(4) * (expected(known | {column}) - expected(known))
            for size in range(4)
            for known in map(frozenset, combinations(others, size))
        )

    assert len(set(tree.column.tolist())) > 2
    np.testing.assert_allclose(Paths.of(booster).added(row[None])[0], [shapley(one) for one in columns], atol=1e-12)


def rows_of(tree: Tree, child: int) -> int:
    return int(tree.leaf_rows[~child] if child < 0 else tree.node_rows[child])


def test_a_row_sums_to_its_margin_less_the_mean_of_what_was_learned_from():
    values = values_of(0)
    booster = booster_of(values, num_leaves=15, objective="binary")
    margins = booster.predict(values, raw_score=True)
    np.testing.assert_allclose(Paths.of(booster).added(values).sum(axis=1), margins - margins.mean(), atol=1e-9)


def test_rows_have_the_same_parts_together_as_alone():
    values = values_of(0)
    paths = Paths.of(booster_of(values, num_leaves=15, objective="binary"))
    together = paths.added(values)
    assert np.array_equal(np.concatenate([paths.added(values[row : row + 1]) for row in range(40)]), together[:40])


@pytest.mark.parametrize("rows", [0, 3])
def test_a_tree_of_one_leaf_adds_nothing(rows: int):
    values = values_of(0, 50)
    booster = lgb.train(QUIET, lgb.Dataset(values, np.full(50, 2.0)), num_boost_round=2)
    assert np.array_equal(Paths.of(booster).added(values[:rows]), np.zeros((rows, 8)))
