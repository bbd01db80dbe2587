import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ranking import metrics
from ranking.candidates.full_ranking import full_ranking, unseen
from ranking.candidates.generator import Generator, top_k
from ranking.errors import ArtifactError
from ranking.evaluation.export import export
from ranking.evaluation.warehouse import Warehouse
from ranking.splits import Protocol, Split, split
from ranking.types import IdIndex, Interactions

MEMORY = Path(":memory:")
METRICS = (
    *("ndcg@10", "ndcg@20", "recall@10", "recall@20", "recall@50", "recall@200", "mrr@10", "map@10", "hit@10"),
    *("novelty@10", "popularity@10", "diversity@10"),
)
# Whom `attributes_of` slices by: a hand that some keep to themselves, an age in eight bands, no names
PEOPLE = pa.table(
    {
        "user_id": [f"u{i:03}" for i in range(12)],
        "hand": pa.array([("left", "right", None)[i % 3] for i in range(12)]),
        "age": list(range(12)),
        "born": pa.array(range(12), pa.timestamp("us")),
    }
)
BAND = np.searchsorted(np.quantile(np.arange(12), np.arange(1, 8) / 8), np.arange(12), side="right").tolist()


def log_of(user, item, *, n_users: int, n_items: int, positive=None) -> Interactions:
    """One event a second, in the given order."""
    n = len(user)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(n_items))),
        user=np.asarray(user, np.int32),
        item=np.asarray(item, np.int32),
        occurred_at=np.arange(n, dtype=np.int64) * 1_000_000,
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool) if positive is None else np.asarray(positive, bool),
        device=np.array(("phone", "tv"), object)[np.arange(n) % 2],
        place=np.full(n, None, object),
    )


def random_split(seed: int, protocol: Protocol) -> Split:
    draw = np.random.default_rng(seed)
    n = int(draw.integers(30, 400))
    item = np.minimum(draw.exponential(60, n), 249).astype(np.int32)  # a long tail, so that every slice has items
    log = log_of(draw.integers(0, 12, n), item, n_users=12, n_items=250, positive=draw.uniform(size=n) < 0.7)
    return split(log, protocol, newcomers=True)


def random_rankings(divided: Split, seed: int):
    scores = np.random.default_rng(seed).normal(size=(len(divided.queries), 250)).astype(np.float32)
    scores[scores < -1] = -np.inf  # not offered
    return top_k(unseen(scores, divided.queries), 250)


def slices_of(divided: Split) -> dict[str, list[tuple[int, set[int]]]]:
    """Every slice as (query row, relevant items in it), by its definition in words."""
    history = np.diff(divided.queries.indptr)
    events = np.bincount(divided.train.item, minlength=250)
    by_popularity = sorted(np.flatnonzero(events), key=lambda item: (-events[item], item))
    running, head = 0, set()
    for item in by_popularity:
        if running * 2 < events.sum():
            head.add(int(item))
        running += events[item]
    warm = set(np.flatnonzero(events).tolist())
    known = sorted((row for row in range(len(history)) if history[row]), key=lambda row: (history[row], row))
    thirds = [part.tolist() for part in np.array_split(known, 3)]
    wanted = [set(divided.relevant[row].indices.tolist()) for row in range(len(history))]
    every = set(range(250))
    found = {
        "all": [(row, wanted[row]) for row in known],
        "new_users": [(row, wanted[row]) for row in range(len(history)) if not history[row]],
        **{
            name: [(row, wanted[row] & items) for row in known]
            for name, items in (
                ("warm_items", warm),
                ("cold_items", every - warm),
                ("head_items", head),
                ("tail_items", warm - head),
                ("rare_items", {item for item in every if events[item] <= 5}),
            )
        },
        **{name: [(row, wanted[row]) for row in rows] for name, rows in asked_slices(divided, known).items()},
        **{
            name: [(row, wanted[row]) for row in part]
            for name, part in zip(("short_history", "medium_history", "long_history"), thirds, strict=True)
        },
    }
    return {name: pairs for name, rows in found.items() if (pairs := [pair for pair in rows if pair[1]])}


def asked_slices(divided: Split, known: list[int]) -> dict[str, list[int]]:
    """By user attribute and request; the log begins on a Thursday at midnight and is a few minutes long."""
    found: dict[str, list[int]] = {"hour=00": known, "daypart=night": known, "week=weekday": known}
    for row in known:
        user, at = int(divided.queries.user[row]), int(divided.queries.at[row])
        if user % 3 < 2:
            found.setdefault(f"hand={('left', 'right')[user % 3]}", []).append(row)
        found.setdefault(f"device={('phone', 'tv')[at // 1_000_000 % 2]}", []).append(row)
        band = [one for one in range(12) if BAND[one] == BAND[user]]
        found.setdefault(f"age={band[0]}-{band[-1]}", []).append(row)
    return found


@settings(max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from(Protocol))
@example(5004, Protocol.P2)  # nothing is held out
def test_metrics_in_sql_equal_brute_force_in_every_slice(seed, protocol):
    divided = random_split(seed, protocol)
    items, scores = random_rankings(divided, seed)
    vectors = np.random.default_rng(seed).normal(size=(250, 4)) * (np.arange(250) % 3 > 0)[:, None]
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided, PEOPLE)
        warehouse.write_rankings(divided, "random", items, scores, vectors=vectors)
        summary = warehouse.read("summary", {"protocol": protocol}).to_pylist()
    expected = slices_of(divided)
    assert {row["slice"] for row in summary} == set(expected)
    for row in summary:
        rows, wanted = zip(*expected[row["slice"]], strict=True)
        assert row["users"] == len(rows)
        shown = [item for item in items[list(rows), :10].ravel().tolist() if item >= 0]
        assert row["coverage@10"] == pytest.approx(len(set(shown)) / 250)
        times = [shown.count(item) for item in range(250)]
        apart = sum(abs(one - other) for one in times for other in times)  # Gini's mean difference
        assert row["gini@10"] == (pytest.approx(apart / (2 * 250 * len(shown))) if shown else None)
        for name, value in brute_force(items[list(rows)], wanted, divided.train, vectors).items():
            assert row[name] == (None if np.isnan(value) else pytest.approx(value)), (row["slice"], name)


def shown_values(ranked, train: Interactions, vectors) -> dict[str, float]:
    """What a list of at most ten codes is worth, whatever is relevant; NaN where that cannot be said."""
    information, popularity, alike = [], [], []
    events = [int((train.item == item).sum()) for item in range(250)]
    for item in ranked:
        choosers = set(train.user[train.item == item].tolist())
        information.append(-np.log2(max(len(choosers), 1) / len(set(train.user.tolist()))))
        below, equal = sum(one < events[item] for one in events), events.count(events[item])
        popularity.append((below + equal / 2) / 250)
    for one, other in combinations([item for item in ranked if vectors[item].any()], 2):
        lengths = np.linalg.norm(vectors[one]) * np.linalg.norm(vectors[other])
        alike.append(vectors[one] @ vectors[other] / lengths)
    values = {"novelty@10": information, "popularity@10": popularity, "diversity@10": [1 - one for one in alike]}
    return {name: float(np.mean(found)) if found else np.nan for name, found in values.items()}


def brute_force(items, wanted, train: Interactions, vectors) -> dict[str, float]:
    """Means of all metrics over rows of ranked codes and sets of relevant ones."""
    totals = dict.fromkeys(METRICS[:9], 0.0)
    shown = [shown_values([item for item in row if item >= 0], train, vectors) for row in items[:, :10].tolist()]
    of_lists = {name: [one[name] for one in shown if not np.isnan(one[name])] for name in METRICS[9:]}
    for ranked, relevant in zip(items.tolist(), wanted, strict=True):
        hits = [rank for rank, item in enumerate(ranked, start=1) if item in relevant]
        top = [rank for rank in hits if rank <= 10]
        for k in (10, 20):
            ideal = sum(1 / np.log2(rank + 1) for rank in range(1, min(k, len(relevant)) + 1))
            totals[f"ndcg@{k}"] += sum(1 / np.log2(rank + 1) for rank in hits if rank <= k) / ideal
        totals["map@10"] += sum((place + 1) / rank for place, rank in enumerate(top)) / len(relevant)
        for k in (10, 20, 50, 200):
            totals[f"recall@{k}"] += sum(rank <= k for rank in hits) / len(relevant)
        totals["mrr@10"] += 1 / top[0] if top else 0
        totals["hit@10"] += bool(top)
    means = {name: total / len(wanted) for name, total in totals.items()}
    return means | {name: float(np.mean(found)) if found else np.nan for name, found in of_lists.items()}


def test_metrics_in_sql_equal_the_array_form():
    divided = random_split(1, Protocol.P2)
    items, scores = random_rankings(divided, 1)
    vectors = np.random.default_rng(1).normal(size=(250, 4)).astype(np.float32)
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "random", items, scores, vectors=vectors)
        stored = warehouse.table("per_user").to_pylist()
        exposure = warehouse.table("exposure").to_pylist()
    stored = sorted((row for row in stored if row["slice"] == "all"), key=lambda row: row["user_id"])
    hits, n_relevant = metrics.hits_of(items, divided.relevant), np.diff(divided.relevant.indptr)
    train = divided.train
    choosers = (train.matrix() > 0).sum(axis=0).A1
    information = metrics.self_information(choosers, len(np.unique(train.user)))
    popularity = metrics.popularity_percentile(np.bincount(train.item, minlength=250))
    expected = {
        **{f"ndcg@{k}": metrics.ndcg(hits, n_relevant, k) for k in (10, 20)},
        **{f"recall@{k}": metrics.recall(hits, n_relevant, k) for k in (10, 20, 50, 200)},
        "mrr@10": metrics.reciprocal_rank(hits, 10),
        "map@10": metrics.average_precision(hits, n_relevant, 10),
        "hit@10": metrics.hit_rate(hits, 10),
        "novelty@10": metrics.mean_shown(items, information, 10),
        "popularity@10": metrics.mean_shown(items, popularity, 10),
        "diversity@10": metrics.diversity(items, vectors, 10),
    }
    assert set(expected) == set(METRICS)
    for name, values in expected.items():
        assert np.allclose([row[name] for row in stored], values), name
    (together,) = (row for row in exposure if row["slice"] == "all")
    assert together["coverage@10"] == pytest.approx(metrics.coverage(items, 250, 10))
    assert together["gini@10"] == pytest.approx(metrics.gini(items, 250, 10))


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_equal_scores_are_ranked_by_item_in_arrays_sql_and_export(tmp_path_factory, seed):
    divided = random_split(seed, Protocol.P2)
    scores = np.random.default_rng(seed).integers(0, 3, (len(divided.queries), 250)).astype(np.float32)  # mostly tied
    masked = unseen(scores, divided.queries)
    items, best = top_k(masked, 250)
    folder = tmp_path_factory.mktemp("export")
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "tied", items, best)
        stored = warehouse.table("rankings")
        export(warehouse, folder)
    for row, user in enumerate(divided.train.users.take(divided.queries.user)):
        offered = [item for item in range(250) if np.isfinite(masked[row, item])]
        expected = divided.train.items.take(
            np.array(sorted(offered, key=lambda item: (-masked[row, item], item))[:200])
        )
        assert divided.train.items.take(items[row][items[row] >= 0][:200]) == expected
        # what anybody gets who sorts a user's scores himself, by id where they are equal
        for table in (stored, pq.read_table(folder / "p2" / "tied.parquet")) if stored is not None else ():
            mine = [one for one in table.to_pylist() if one["user_id"] == user]
            assert [one["item_id"] for one in sorted(mine, key=lambda one: one["rank"])] == expected
            assert [one["item_id"] for one in sorted(mine, key=lambda one: (-one["score"], one["item_id"]))] == expected


@pytest.fixture
def divided() -> Split:
    """Two users of five events each; u000 is to be recommended i004, u001 i009."""
    return split(log_of([0] * 5 + [1] * 5, range(10), n_users=2, n_items=12), Protocol.P2)


def rankings_of(divided: Split, first: list[int]):
    """Rankings with the given item on top of each query, the others by code."""
    scores = -np.tile(np.arange(12, dtype=np.float32), (len(divided.queries), 1))
    scores[np.arange(len(first)), first] = 100
    return top_k(unseen(scores, divided.queries), 12)


def ndcg_of(warehouse: Warehouse) -> dict[str, float]:
    summary = warehouse.read("summary", {"protocol": "p2"}).to_pylist()
    return {row["model"]: row["ndcg@10"] for row in summary if row["slice"] == "all"}


def test_a_model_written_again_replaces_what_it_was(divided, tmp_path):
    with Warehouse(tmp_path / "w.duckdb") as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "other", *rankings_of(divided, [4, 11]))
        warehouse.write_rankings(divided, "model", *rankings_of(divided, [11, 11]))
        warehouse.write_rankings(divided, "model", *rankings_of(divided, [4, 9]))
    with Warehouse(tmp_path / "w.duckdb", read_only=True) as warehouse:
        found = ndcg_of(warehouse)
    assert found["model"] == 1
    assert found["other"] < 1


def test_a_refused_ranking_leaves_the_earlier_one(divided):
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "model", *rankings_of(divided, [4, 9]))
        items, scores = rankings_of(divided, [4, 9])
        items[0, 0] = 0
        with pytest.raises(ValueError, match="of its own history"):
            warehouse.write_rankings(divided, "model", items, scores)
        assert ndcg_of(warehouse) == {"model": 1}


def test_an_interrupted_write_leaves_the_earlier_ranking(divided, monkeypatch):
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "model", *rankings_of(divided, [4, 9]))

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("ranking.evaluation.rows.rankings_of", interrupted)
        with pytest.raises(KeyboardInterrupt):
            warehouse.write_rankings(divided, "model", *rankings_of(divided, [11, 11]))
        assert ndcg_of(warehouse) == {"model": 1}


def test_a_new_split_forgets_what_was_measured_on_the_old_one(divided):
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "model", *rankings_of(divided, [4, 9]))
        warehouse.write_split(divided)
        assert ndcg_of(warehouse) == {}


def test_rankings_that_would_be_measured_wrongly_are_refused(divided):
    items, scores = rankings_of(divided, [4, 9])
    twice = items.copy()
    twice[0, 1] = twice[0, 0]
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        for model, codes, values, said in (
            ("model", twice, scores, "one item twice"),
            ("model", items[:, :5], scores[:, :5], r"expected \[2, 12 or more\]"),
            ("model", items[:1], scores[:1], r"expected \[2, 12 or more\]"),
            ("../model", items, scores, "letters, digits"),
        ):
            with pytest.raises(ValueError, match=said):
                warehouse.write_rankings(divided, model, codes, values)


def test_candidates_are_measured_by_what_they_hold(divided):
    with Warehouse(MEMORY) as warehouse:
        warehouse.write_split(divided)
        warehouse.write_candidates(divided, np.array([[4, 10, 10], [0, 11, -1]], np.int32))
        (row,) = warehouse.read("protocols").to_pylist()
    assert row["candidate_recall"] == 0.5
    assert row["candidates"] == 2


class Newest(Generator):
    """Prefers items of a higher code."""

    name = "newest"

    def fit(self, train):
        return self

    def score(self, queries):
        return np.tile(np.arange(queries.n_items, dtype=np.float32), (len(queries), 1))

    def save(self, folder): ...

    @classmethod
    def load(cls, folder):
        return cls()


def test_seen_items_are_never_ranked_and_batches_do_not_matter(monkeypatch):
    divided = random_split(3, Protocol.P2)
    items, scores = full_ranking(Newest(), divided.queries, k=200)
    for row in range(len(items)):
        seen = divided.queries.item[divided.queries.indptr[row] : divided.queries.indptr[row + 1]]
        assert items[row].tolist() == [item for item in range(249, -1, -1) if item not in seen][:200]
    monkeypatch.setattr("ranking.candidates.full_ranking.BATCH", 2)
    in_pairs, _ = full_ranking(Newest(), divided.queries, k=200)
    assert np.array_equal(items, in_pairs)
    assert full_ranking(Newest(), divided.queries.rows(0, 0), k=200)[0].shape == (0, 200)
    assert scores.dtype == np.float32


def test_a_warehouse_that_is_not_there_says_how_to_get_one(tmp_path):
    with pytest.raises(ArtifactError, match="trichord run"):
        Warehouse(tmp_path / "none.duckdb", read_only=True)


def test_a_file_that_is_no_warehouse_is_named(tmp_path):
    path = tmp_path / "w.duckdb"
    path.write_text("no database" * 1000)
    with pytest.raises(ArtifactError, match="not a readable DuckDB file"):
        Warehouse(path, read_only=True)


def test_a_warehouse_in_use_by_another_process_is_refused_in_one_line(tmp_path):
    path = tmp_path / "w.duckdb"
    code = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(ArtifactError, match="another process is using it"):
            Warehouse(path)
        other.communicate("\n")


def test_what_an_older_version_measured_is_dropped_and_what_else_it_wrote_is_kept(tmp_path):
    path, divided = tmp_path / "w.duckdb", random_split(1, Protocol.P2)
    with Warehouse(path) as warehouse:
        warehouse.write_run(dataset="old", seeds=[0])
        warehouse._db.execute("drop view per_slice; drop table per_user; create table per_user (protocol varchar)")
        warehouse._db.execute("update layout set version = 1; insert into help_wanted (item_id) values ('i')")
    with Warehouse(path, read_only=True) as warehouse, pytest.raises(ArtifactError, match="run `trichord run` again"):
        warehouse.read("summary", {"protocol": "p2"})
    with Warehouse(path) as warehouse:
        assert warehouse.read("run").to_pylist() == []
        assert len(warehouse.table("help_wanted")) == 1
        warehouse.write_split(divided)
        warehouse.write_rankings(divided, "random", *random_rankings(divided, 1))
        assert warehouse.read("summary", {"protocol": "p2"}).num_rows


def test_a_table_that_nobody_wrote_is_none():
    with Warehouse(MEMORY) as warehouse:
        assert warehouse.table("nothing") is None
        assert warehouse.table("rankings") is None
