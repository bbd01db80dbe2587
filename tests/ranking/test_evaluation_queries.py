"""The queries of docs/queries.md answer on a small evaluation, and say what the report says."""

import re
import textwrap
from pathlib import Path

import duckdb
import numpy as np
import pytest

from ranking.candidates.full_ranking import unseen
from ranking.candidates.generator import top_k
from ranking.evaluation.comparisons import store_comparisons
from ranking.evaluation.report import build_report
from ranking.evaluation.warehouse import Warehouse
from ranking.splits import Protocol, split
from ranking.types import IdIndex, Interactions

PAGE = Path(__file__).parents[2] / "docs" / "queries.md"
QUERIES = [textwrap.dedent(text) for text in re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)]
MODELS = ("hybrid", "hybrid@1", "hybrid@2", "ease", "popular")


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """The warehouse's path, and its report."""
    draw = np.random.default_rng(0)
    users, items, n = 30, 80, 1200
    log = Interactions(
        users=IdIndex.of(f"u{i:02}" for i in range(users)),
        items=IdIndex.of(f"i{i:02}" for i in range(items)),
        user=draw.integers(0, users, n).astype(np.int32),
        item=np.minimum(draw.exponential(20, n), items - 1).astype(np.int32),
        occurred_at=np.arange(n, dtype=np.int64) * 7_200_000_000,
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=np.full(n, None, object),
        place=np.full(n, None, object),
    )
    path = tmp_path_factory.mktemp("home") / "warehouse.duckdb"
    with Warehouse(path) as warehouse:
        warehouse.write_run(dataset="queries", seeds=[0, 1, 2])
        for protocol in Protocol:
            divided = split(log, protocol)
            warehouse.write_split(divided)
            for seed, model in enumerate(MODELS):
                scores = np.random.default_rng(seed).normal(size=(len(divided.queries), items)).astype(np.float32)
                scores += divided.relevant.toarray() * (model[:6] == "hybrid")
                warehouse.write_rankings(divided, model, *top_k(unseen(scores, divided.queries), items))
            store_comparisons(warehouse, protocol)
        report = build_report(warehouse)
    return path, report


def rows(path: Path, query: str) -> list[dict[str, object]]:
    with duckdb.connect(path, read_only=True) as con:
        return con.sql(query).to_arrow_table().to_pylist()


@pytest.mark.parametrize("number", range(1, len(QUERIES) + 1))
def test_a_query_of_the_page_answers(evaluated, number):
    assert rows(evaluated[0], QUERIES[number - 1])


def test_there_are_ten():
    assert len(QUERIES) == 10


def test_the_queries_say_what_the_report_says(evaluated):
    path, report = evaluated
    p2 = report["protocols"]["p2"]
    for row in rows(path, QUERIES[0]):
        if row["model"] in p2["models"]:
            assert row["ndcg"] == pytest.approx(p2["models"][row["model"]]["ndcg@10"])
            assert row["users"] == p2["users"]
    for row in rows(path, QUERIES[5]):
        found = report["protocols"][row["protocol"]]["comparisons"][row["model"]]
        assert row["p_holm"] == found["p_holm"]
        assert row["ci95"] == found["ci95"]
    for row in rows(path, QUERIES[6]):
        seeds = report["protocols"][row["protocol"]]["seeds"]
        assert (row["seeds"], row["mean"]) == (3, pytest.approx(seeds["mean"]))
        assert row["deviation"] == pytest.approx(seeds["sd"])
    for row in rows(path, QUERIES[7]):
        if row["model"] in p2["models"]:
            assert row["gini"] == pytest.approx(p2["models"][row["model"]]["gini@10"])
    for row in rows(path, QUERIES[8]):
        ten = QUERIES[8].replace("rank <= 5", "rank <= 10").replace("least(n, 5)", "least(n, 10)")
        found = next(one for one in rows(path, ten) if one["model"] == row["model"])
        if row["model"] in p2["models"]:
            assert found["ndcg@5"] == pytest.approx(p2["models"][row["model"]]["ndcg@10"])


def test_every_table_that_the_page_names_has_its_columns(evaluated):
    with duckdb.connect(evaluated[0], read_only=True) as con:
        for name, columns in re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", PAGE.read_text(), re.MULTILINE):
            there = {one[0] for one in con.execute(f"describe {name}").fetchall()}
            named = set(re.findall(r"`([\w@]+)`", columns.split(":")[0]))
            assert named <= there, name
