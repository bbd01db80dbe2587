"""Ratings in the evaluation: told without the held-out ones, measured as defined, in the report, and absent."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from feature_repo import schema
from feature_repo.labels import label_events, rated_kind
from feature_repo.schema import EventKind
from ranking.evaluation.page import write_page
from ranking.evaluation.ratings import difference_ci95, foretold, measure_ratings
from ranking.evaluation.report import build_report
from ranking.evaluation.table import tables
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.ratings import Rated
from ranking.splits import Protocol
from ranking.strategy.fit import divisions
from ranking.types import IdIndex, Interactions

STARS = EventKind("stars", positive_from=4.0)


@pytest.fixture(scope="module")
def rated(checkerboard):
    """The checkerboard's log with ratings: some users are kinder, some items better."""
    log = checkerboard.log
    noise = np.random.default_rng(1).normal(size=len(log))
    stars = 3 + 0.5 * (log.user % 3) + 0.5 * (log.item % 5 - 2) + 0.3 * noise
    return replace(log, rating=np.clip(stars, 1, 5).astype(np.float32))


@pytest.fixture(scope="module")
def divided(rated):
    return divisions(rated, Protocol.P2, 2)


def measured(divided, path=None):
    """The report after measuring twice: the second time replaces the first."""
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset="checkerboard", seeds=[0])
        warehouse.write_split(divided[0])
        for _ in range(2):
            measure_ratings(warehouse, divided)
        report = build_report(warehouse)
        if path is not None:
            write_page(warehouse, report, path)
        return report


def test_what_is_measured_is_what_was_foretold(divided):
    found = measured(divided)["ratings"]["p2"]
    told, asked = foretold(divided), Rated.of(divided[0].test)
    assert set(found) == set(told) == {"rating_mean", "rating_biases", "rating_factors", "rating_hybrid"}
    assert np.unique(told["rating_mean"]) == pytest.approx(Rated.of(divided[0].train).value.mean())
    for name, one in found.items():
        error = told[name] - asked.value
        assert one["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert one["mae"] == pytest.approx(np.mean(np.abs(error)))
        assert (one["rows"], one["users"]) == (len(asked), len(divided[0].queries))
    assert found["rating_biases"]["rmse"] < 0.6 * found["rating_mean"]["rmse"]
    assert found["rating_biases"]["difference"] is None
    ours = found["rating_factors"]
    assert ours["difference"] == pytest.approx(ours["rmse"] - found["rating_biases"]["rmse"])
    low, high = ours["difference_ci95"]
    assert low <= ours["difference"] <= high


def test_a_held_out_rating_changes_nothing_that_is_learned(rated, divided):
    held = np.isin(rated.user, divided[0].queries.user)
    train = set(zip(divided[0].train.user.tolist(), divided[0].train.item.tolist(), strict=True))
    held &= np.array([pair not in train for pair in zip(rated.user.tolist(), rated.item.tolist(), strict=True)])
    assert held.sum() == len(divided[0].test)
    turned = replace(rated, rating=np.where(held, 6 - rated.rating, rated.rating).astype(np.float32))
    again = divisions(turned, Protocol.P2, 2)
    assert not np.array_equal(again[0].test.rating, divided[0].test.rating)
    before, after = foretold(divided), foretold(again)
    for name, predicted in before.items():
        np.testing.assert_array_equal(after[name], predicted)


def test_table_and_page_show_the_ratings_apart_from_chances(divided, tmp_path):
    report = measured(divided, tmp_path / "page.html")
    assert report["point"] == {}
    console = Console(width=160, record=True, file=StringIO())
    console.print(tables(report))
    assert "rating_factors" in console.export_text()
    page = (tmp_path / "page.html").read_text()
    assert "<h3>Ratings</h3>" in page
    assert "<h3>Point predictions</h3>" not in page


def test_without_ratings_there_is_nothing_to_measure(checkerboard, rated, divided):
    assert measured(divisions(checkerboard.log, Protocol.P2, 2))["ratings"] == {}
    assert (
        measured(divisions(replace(rated, rating=np.full(len(rated), 4, np.float32)), Protocol.P2, 2))["ratings"] == {}
    )
    assert measured(divided[:1])["ratings"] == {}


def test_the_interval_of_the_difference_redraws_users(divided):
    draw = np.random.default_rng(0)
    user, theirs = np.repeat(np.arange(40, dtype=np.int32), 5), draw.normal(size=200)
    assert difference_ci95(theirs, theirs, user) == (0.0, 0.0)
    low, high = difference_ci95(0.5 * theirs, theirs, user)
    assert low < -0.5 * np.sqrt(np.mean(theirs**2)) < high < 0


def test_a_rating_is_the_value_that_liking_depends_on():
    assert rated_kind([EventKind("view", weight=0, positive_from=1.0), EventKind("buy"), STARS]) == "stars"
    assert rated_kind([EventKind("buy")]) is None
    row = {"user_id": "u", "item_id": "i", "occurred_at": 0}
    events = schema.EVENTS.empty_table().from_pylist(
        [
            {"event_id": f"e{n}", "kind": kind, "value": value, **row, "occurred_at": n}
            for n, (kind, value) in enumerate([("stars", 4.5), ("buy", 20.0), ("stars", None)])
        ],
        schema.EVENTS,
    )
    labelled = label_events(events, [EventKind("buy"), STARS])
    ids = {"users": IdIndex(("u",)), "items": IdIndex(("i",))}
    np.testing.assert_array_equal(
        Interactions.from_events(labelled, **ids, rated=("stars",)).rating, [4.5, np.nan, np.nan]
    )
    assert Interactions.from_events(labelled, **ids).rating is None
