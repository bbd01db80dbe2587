"""Each metric of single predictions against its definition, spelled out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ranking import point_metrics

ROWS = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


def arrays(rows):
    return np.array([chance / 8 for chance, _ in rows]), np.array([outcome for _, outcome in rows])


@given(ROWS)
def test_auc_is_the_share_of_pairs_in_the_right_order(rows):
    predicted, observed = arrays(rows)
    pairs = [
        1.0 if above > below else 0.5 if above == below else 0.0
        for above in predicted[observed]
        for below in predicted[~observed]
    ]
    found = point_metrics.auc(predicted, observed)
    assert math.isnan(found) if not pairs else found == pytest.approx(np.mean(pairs))


def test_auc_is_scipys_mann_whitney_statistic():
    draw = np.random.default_rng(0)
    predicted, observed = draw.normal(size=500).round(1), draw.random(500) < 0.3
    statistic = stats.mannwhitneyu(predicted[observed], predicted[~observed]).statistic
    assert point_metrics.auc(predicted, observed) == pytest.approx(statistic / (observed.sum() * (~observed).sum()))


@given(ROWS)
def test_logloss_is_the_mean_surprise(rows):
    predicted, observed = arrays(rows)
    total = 0.0
    for chance, outcome in zip(predicted, observed, strict=True):
        given_to_it = chance if outcome else 1 - chance
        total -= math.log(min(max(given_to_it, 1e-7), 1 - 1e-7))
    assert point_metrics.logloss(predicted, observed) == pytest.approx(total / len(rows))


@given(ROWS, st.integers(1, 6))
def test_calibration_error_is_that_of_bins_counted_one_by_one(rows, bins):
    predicted, observed = arrays(rows)
    order = sorted(range(len(rows)), key=lambda row: predicted[row])
    members: dict[int, list[int]] = {}
    for place, row in enumerate(order):
        first = next(p for p in range(len(order)) if predicted[order[p]] == predicted[row])
        members.setdefault(first * bins // len(rows), []).append(row)
        assert place >= first
    expected = sum(abs(predicted[m].mean() - observed[m].mean()) * len(m) for m in members.values()) / len(rows)
    assert point_metrics.calibration_error(predicted, observed, bins=bins) == pytest.approx(expected)
    table = point_metrics.reliability(predicted, observed, bins=bins)
    assert table.n.tolist() == [len(members[key]) for key in sorted(members)]
    assert table.predicted @ table.n == pytest.approx(predicted.sum())


def test_distinct_predictions_fill_bins_of_equal_size():
    table = point_metrics.reliability(np.linspace(0, 1, 100), np.zeros(100, bool), bins=20)
    assert table.n.tolist() == [5] * 20


def test_honest_probabilities_have_next_to_no_calibration_error():
    draw = np.random.default_rng(1)
    chance = draw.random(50_000)
    observed = draw.random(50_000) < chance
    assert point_metrics.calibration_error(chance, observed) < 0.01
    assert point_metrics.calibration_error(chance**2, observed) > 0.1


def test_nothing_to_say_of_no_rows():
    nothing, none = np.zeros(0), np.zeros(0, bool)
    for metric in (point_metrics.auc, point_metrics.logloss, point_metrics.rmse, point_metrics.calibration_error):
        assert math.isnan(metric(nothing, none))
    assert math.isnan(point_metrics.auc(np.ones(3), np.ones(3, bool)))


def test_rmse_by_hand():
    assert point_metrics.rmse(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, 2.0])) == pytest.approx((5 / 3) ** 0.5)
