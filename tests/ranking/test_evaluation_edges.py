"""Logs in which there is hardly anything to evaluate: a clear answer, no crash, nothing that is not a number."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console

from pipelines.assets.models import undivided
from ranking.candidates.full_ranking import full_ranking, unseen
from ranking.candidates.generator import top_k
from ranking.candidates.popular import Popular, PopularConfig
from ranking.evaluation.comparisons import store_comparisons
from ranking.evaluation.export import export
from ranking.evaluation.page import write_page
from ranking.evaluation.plots import plot
from ranking.evaluation.report import build_report
from ranking.evaluation.table import tables
from ranking.evaluation.warehouse import Warehouse
from ranking.splits import Protocol, split
from ranking.strategy.fit import divisions
from ranking.types import IdIndex, Interactions


def log_of(user, item, *, at=None, positive=True, users=None, items=None) -> Interactions:
    n = len(user)
    nothing = np.full(n, None, object)
    return Interactions(
        users=IdIndex.of(f"u{one}" for one in (user if users is None else range(users))),
        items=IdIndex.of(f"i{one}" for one in (item if items is None else range(items))),
        user=np.asarray(user, np.int32),
        item=np.asarray(item, np.int32),
        occurred_at=np.arange(n, dtype=np.int64) if at is None else np.full(n, at, np.int64),
        weight=np.ones(n, np.float32),
        positive=np.full(n, positive),
        device=nothing,
        place=nothing,
    )


MANY = np.arange(60)
WORLDS = {
    "one user": log_of([0] * 9, range(9)),
    "one item": log_of(range(9), [0] * 9),
    "one event": log_of([0], [0]),
    "no positives": log_of(MANY % 6, MANY * 7 % 9, positive=False),
    "one moment": log_of(MANY % 6, MANY * 7 % 9, at=5),
    "no events": log_of([], [], users=3, items=4),
    "nobody and nothing": log_of([], []),
    "one user, one item, again and again": log_of([0] * 9, [0] * 9),
}


@pytest.mark.parametrize("protocol", Protocol)
@pytest.mark.parametrize("world", WORLDS)
def test_hardly_anything_to_evaluate_is_evaluated(world, protocol, tmp_path):
    divided = split(WORLDS[world], protocol, newcomers=True)
    queries, n_items = divided.queries, len(divided.train.items)
    assert (np.diff(divided.relevant.indptr) > 0).all()
    with Warehouse(Path(":memory:")) as warehouse:
        warehouse.write_run(dataset=world, seeds=[0])
        warehouse.write_split(divided, pa.table({"user_id": ["u0", "nobody"], "club": ["a", "b"]}))
        popular = full_ranking(Popular(PopularConfig()).fit(divided.train), queries, k=200)
        scores = np.zeros((len(queries), n_items), np.float32)
        for name, ranked in (("popular", popular), ("hybrid", top_k(unseen(scores, queries), n_items))):
            warehouse.write_rankings(divided, name, *ranked, vectors=np.ones((n_items, 2), np.float32))
        warehouse.write_candidates(divided, np.full((len(queries), 3), -1, np.int32))
        store_comparisons(warehouse, protocol)
        report = build_report(warehouse)
        write_page(warehouse, report, tmp_path / "evaluation.html")
        export(warehouse, tmp_path)
    found = json.loads(json.dumps(report, allow_nan=False))["protocols"][protocol]
    known = int((np.diff(queries.indptr) > 0).sum())
    assert (found["users"], found["new_users"]) == (known, len(queries) - known)
    for models in (found["models"], *found["slices"].values()):
        for one in models.values():
            assert all(0 <= one[name] <= 1 for name in ("ndcg@10", "recall@200", "map@10", "hit@10", "coverage@10"))
    Console(file=io.StringIO()).print(tables(report, attributes=True))
    plot(report, tmp_path)
    assert "<h1>" in (tmp_path / "evaluation.html").read_text()


def test_events_of_one_moment_are_divided_by_item_and_ranked_whole():
    divided = split(WORLDS["one moment"], Protocol.P2)
    for row, user in enumerate(divided.queries.user.tolist()):
        kept, held = (set(part.item[part.user == user].tolist()) for part in (divided.train, divided.test))
        assert max(kept) <= min(held)
        assert len(divided.relevant[row].indices) == len(held - kept)


def test_ids_that_nobody_knows_are_left_out_of_the_log():
    events = pa.table(
        {
            "user_id": ["u0", "stranger", "u0"],
            "item_id": ["i0", "i0", "unheard"],
            "occurred_at": pa.array([1, 2, 3], pa.timestamp("us", "UTC")),
            "weight": [1.0, 1.0, 1.0],
            "positive": [True, True, True],
            "device": pa.nulls(3, pa.string()),
            "place": pa.nulls(3, pa.string()),
        }
    )
    log = Interactions.from_events(events, users=IdIndex.of(["u0"]), items=IdIndex.of(["i0"]))
    assert (log.users.take(log.user), log.items.take(log.item)) == (["u0"], ["i0"])


@pytest.mark.parametrize(
    ("world", "said"),
    [
        ("no positives", "none of its 60 interactions is of a positive kind"),
        ("one item", "all of its 9 interactions are with one item"),
        ("one event", "all of its 1 interactions are with one item"),
        ("no events", "none of its 0 interactions"),
        ("one user, one item, again and again", "with one item"),
    ],
)
def test_a_log_that_cannot_be_divided_says_why(world, said):
    assert len(divisions(WORLDS[world], Protocol.P2, 2)) < 2
    assert said in undivided(WORLDS[world])


def test_a_log_of_too_few_events_says_how_many_are_needed():
    few = log_of([0] * 5, range(5))
    assert len(divisions(few, Protocol.P2, 2)) < 2
    assert undivided(few).startswith("its 5 interactions are too few to be divided in time twice; needed are users")
