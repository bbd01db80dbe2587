"""benchmarks/quality.py on a warehouse of four users, checked by hand."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import duckdb
import numpy as np
import pytest

from ranking.splits import Protocol

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "quality.py"
USERS = ("u1", "u2", "u3", "u4")


@pytest.fixture(scope="module")
def quality() -> ModuleType:
    spec = importlib.util.spec_from_file_location("quality", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["quality"] = module  # where its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Each user wants `want`; the hybrid has it first, ease second, covisitation never. u1 also wants `rare`."""
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as db:
        db.execute("create table models (protocol varchar, model varchar)")
        db.execute("create table targets (protocol varchar, slice varchar, user_id varchar, item_id varchar)")
        db.execute("create table splits (protocol varchar, user_id varchar, item_id varchar, part varchar)")
        db.execute("create table candidates (protocol varchar, user_id varchar, recall double)")
        db.execute(
            "create table rankings (protocol varchar, model varchar, user_id varchar, item_id varchar, rank integer)"
        )
        for protocol in Protocol:
            for model in ("hybrid", "hybrid-text", "oracle", "ease", "covisitation"):
                db.execute("insert into models values (?, ?)", [protocol, model])
            for user in reversed(USERS):
                db.execute("insert into targets values (?, 'all', ?, 'want')", [protocol, user])
                db.execute("insert into targets values (?, 'warm_items', ?, 'want')", [protocol, user])
                db.execute("insert into candidates values (?, ?, 0.25)", [protocol, user])
                for model, order in {
                    "hybrid": ("want", "x"),
                    "ease": ("x", "want"),
                    "covisitation": ("x", "y"),
                }.items():
                    for rank, item in enumerate(order, 1):
                        db.execute("insert into rankings values (?, ?, ?, ?, ?)", [protocol, model, user, item, rank])
            db.execute("insert into rankings values (?, 'oracle', 'u1', 'want', 1)", [protocol])
            db.execute("insert into targets values (?, 'all', 'u1', 'rare')", [protocol])
            db.execute("insert into splits select ?, 'z', 'want', 'train' from range(6)", [protocol])
    return tmp_path


def test_values_are_one_a_user_in_the_order_of_ids(quality: ModuleType, home: Path) -> None:
    found = quality.Answers(home, Protocol.P2)
    assert found.users == [*USERS]
    assert found.needed.tolist() == [2, 1, 1, 1]
    two = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(found.ndcg("hybrid"), [1 / two, 1, 1, 1])
    np.testing.assert_allclose(found.ndcg("ease")[1:], 1 / np.log2(3))
    assert found.recall("ease", 20).tolist() == [0.5, 1, 1, 1]
    assert found.recall("covisitation", 200).tolist() == [0, 0, 0, 0]


def test_neither_the_hybrid_nor_its_parts_nor_the_oracle_is_a_single_model(quality: ModuleType, home: Path) -> None:
    assert quality.Answers(home, Protocol.P1).singles == ["covisitation", "ease"]


def test_a_lift_is_relative_and_paired(quality: ModuleType) -> None:
    theirs = np.array([0.1, 0.2, 0.4, 0.8])
    value, (low, high) = quality.lift(theirs * 1.5, theirs)
    assert (round(value, 9), round(low, 9), round(high, 9)) == (0.5, 0.5, 0.5)  # the same factor for everybody
    row = quality.lifted("m", "s", theirs * 1.5, theirs, "ease", must=0.2, least=0.1)
    assert row.met and row.note == "0.5625 against 0.3750, ease, 4 users"
    assert not quality.lifted("m", "s", theirs * 1.5, theirs, "ease", must=0.2, least=0.6).met


def test_rare_items_are_those_of_few_training_events_or_none(quality: ModuleType, home: Path) -> None:
    (row,) = quality.rare_items("ml-100k", home)
    assert (row.value, row.note, row.met) == (0.0, "0 of 1 pairs", False)  # `want` has six events


def test_a_union_below_a_single_model_misses_its_goal_whatever_the_goal(quality: ModuleType, home: Path) -> None:
    (row,) = quality.candidates("ml-latest-small", home)
    assert (row.value, row.note, row.met) == (0.25, "best single model ease 0.8750", False)
    assert row.failed
    with duckdb.connect(str(home / "warehouse.duckdb")) as db:
        db.execute("update candidates set recall = 0.9")
    (row,) = quality.candidates("ml-latest-small", home)
    assert row.met and not row.failed


def test_spreading_counts_only_where_it_costs_little(quality: ModuleType, home: Path) -> None:
    (row,) = quality.coverage("ml-100k", home)
    assert row.value is None and "no hybrid_spread" in row.note
    with duckdb.connect(str(home / "warehouse.duckdb")) as db:
        db.execute("insert into models values ('p2', 'hybrid_spread')")
        item = "case when rank = 1 then item_id else user_id end"
        source = f"select protocol, 'hybrid_spread', user_id, {item}, rank from rankings"
        db.execute(f"insert into rankings {source} where protocol = 'p2' and model = 'hybrid'")
    (row,) = quality.coverage("ml-100k", home)
    assert row.met and row.value == 2.5 and row.note.startswith("2 and 5 items; NDCG@10 +0.0%")
    with duckdb.connect(str(home / "warehouse.duckdb")) as db:
        db.execute("update rankings set rank = 3 - rank where model = 'hybrid_spread'")
    (row,) = quality.coverage("ml-100k", home)
    assert row.value == 2.5 and row.failed and row.met is False


def test_what_is_not_there_is_listed_and_no_number(quality: ModuleType, home: Path) -> None:
    *_, row = quality.planted("planted", home)
    assert row.value is None and row.met is None and row.note.startswith("not measured")
    assert quality.table([row]).splitlines()[-1] == (
        "| calibration error of the probability | planted | - | 0.020 | 0.010 |  | "
        "not measured: the home holds no point predictions |"
    )


def test_the_planted_world_is_measured_against_its_oracle(quality: ModuleType, home: Path) -> None:
    first, second, _ = quality.planted("planted", home)
    assert (first.must, second.must) == (None, 0.75)
    hybrid, oracle = (quality.Answers(home, Protocol.P2).ndcg(name).mean() for name in ("hybrid", "oracle"))
    assert second.value == pytest.approx(hybrid / oracle)


def test_frappe_is_read_from_what_its_benchmark_printed(quality: ModuleType, tmp_path: Path) -> None:
    told = {
        f"blend, {word} context": {"mean": {"auc": 0.985, "logloss": 0.2, "ece": 0.01}} for word in ("with", "without")
    }
    told["context_helps"] = {"blend": {"auc": 0.01, "auc_interval": [-0.001, 0.02]}}
    (tmp_path / "frappe.json").write_text(json.dumps(told))
    rows = quality.measured("frappe", tmp_path, tmp_path)
    assert [(row.measure, row.met) for row in rows] == [
        ("AUC, with context", True),
        ("logloss, with context", False),
        ("calibration error, with context", True),
        ("AUC gained by context", False),
    ]
