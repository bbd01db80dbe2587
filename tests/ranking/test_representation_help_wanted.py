from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.errors import ArtifactError
from ranking.evaluation.warehouse import Warehouse
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.demand import DAY_US, expected_demand
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.factor_mapping_choice import Choice
from ranking.representation.help_wanted import help_wanted_table
from ranking.representation.inputs import Masked, unit_rows
from ranking.representation.kernels import CONSTANT
from ranking.representation.uncertainty import ContentProcess
from ranking.types import IdIndex, Interactions

ITEMS, NOW = 60, 400 * DAY_US
EVERY = Choice(("categories", "image", "text"), 1.0, {})


def rows_of(n: int, *widths: int, seed: int = 0, missing: float = 0.3) -> dict[str, Masked]:
    rng = np.random.default_rng(seed)
    rows = {}
    for head, width in zip(("text", "image"), widths, strict=False):
        present = rng.random(n) >= missing
        values = unit_rows(rng.normal(size=(n, width)).astype(np.float32)) * present[:, None]
        rows[head] = Masked(np.asarray(values, np.float32), present)
    return rows


def by_brute_force(rows: dict[str, Masked], taught: np.ndarray, strength: float, item: int, without: str) -> float:
    """Share of the prior variance that is left, in float64, one item after the other, itself not among the taught."""
    others = [one for one in taught if one != item]
    prior = CONSTANT + len(rows)

    def covariance(left: int, right: int, heads: set[str]) -> float:
        both = [head for head in heads if rows[head].present[left] and rows[head].present[right]]
        squared = [((rows[head].values[left] - rows[head].values[right]).astype(float) ** 2).sum() for head in both]
        return CONSTANT + float(np.exp(-np.array(squared)).sum())

    gram = np.array([[covariance(a, b, set(rows)) for b in others] for a in others])
    np.fill_diagonal(gram, prior + strength)
    asked = np.array([covariance(item, other, set(rows) - {without}) for other in others])
    return float((prior - asked @ np.linalg.solve(gram, asked)) / prior)


@settings(max_examples=15)
@given(
    seed=st.integers(0, 99),
    n=st.integers(4, 14),
    missing=st.sampled_from([0.0, 0.3, 1.0]),
    strength=st.sampled_from([0.5, 3.0]),
    without=st.sampled_from(["nothing", "text", "image"]),
)
def test_uncertainty_is_the_variance_of_a_process_that_has_not_seen_the_item(
    seed: int, n: int, missing: float, strength: float, without: str
) -> None:
    rows = rows_of(n, 3, 5, seed=seed, missing=missing)
    taught = np.flatnonzero(np.random.default_rng(seed).random(n) < 0.7).astype(np.int32)
    taught = taught if len(taught) > 1 else np.arange(2, dtype=np.int32)
    found = ContentProcess.fit(rows, taught, strength).uncertainty(without=without)
    expected = [by_brute_force(rows, taught, strength, item, without) for item in range(n)]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_uncertainty_equals_that_of_scikit_learn() -> None:
    process = pytest.importorskip("sklearn.gaussian_process")
    kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
    rows = rows_of(50, 6, missing=0.0)
    taught = np.arange(40, dtype=np.int32)
    kernel = kernels.ConstantKernel(CONSTANT) + kernels.RBF(0.5**0.5)
    theirs = process.GaussianProcessRegressor(kernel, alpha=2.0, optimizer=None)
    theirs.fit(rows["text"].values[taught], np.zeros(len(taught)))
    _, deviation = theirs.predict(rows["text"].values[40:], return_std=True)
    found = ContentProcess.fit(rows, taught, 2.0).uncertainty()[40:]
    np.testing.assert_allclose(found, deviation**2 / (CONSTANT + 1), atol=1e-5)


# demand


def log_of(item: list[int], days_ago: list[float], items: int = ITEMS) -> Interactions:
    n = len(item)
    order = np.argsort(-np.array(days_ago), kind="stable")
    at = (NOW - np.array(days_ago) * DAY_US).astype(np.int64)[order]
    none = np.full(n, None, object)
    ids = IdIndex(tuple(f"i{row:03}" for row in range(items)))
    users = IdIndex(tuple(f"u{row:03}" for row in range(40)))
    user = (np.arange(n) % 40).astype(np.int32)
    ones = np.ones(n, np.float32)
    return Interactions(users, ids, user, np.array(item, np.int32)[order], at, ones, ones > 0, none, none)


def test_a_steady_item_is_expected_to_go_on() -> None:
    rows = rows_of(3, 4, missing=0.0)
    log = log_of([0] * 400 + [1] * 100, [day + 0.5 for day in range(400)] + [4 * day + 0.5 for day in range(100)], 3)
    found = expected_demand(rows, log, np.zeros(3, np.int64), now=NOW, strength=1.0)
    assert found[0] == pytest.approx(28, rel=0.06)
    assert found[1] == pytest.approx(7, rel=0.25)
    assert 0 <= found[2] < 1


def test_a_new_item_is_believed_what_its_content_predicts() -> None:
    rng = np.random.default_rng(0)
    kind = np.arange(ITEMS) % 2  # items of kind 1 are chosen ten times as often
    values = unit_rows((np.eye(2)[kind] * 4 + rng.normal(size=(ITEMS, 2)) * 0.1).astype(np.float32) - 2)
    rows = {"text": Masked(values, np.ones(ITEMS, bool))}
    created_at = np.zeros(ITEMS, np.int64)
    created_at[:2] = NOW - 1  # came a moment ago, one of each kind
    created_at[2] = UNKNOWN_TIME  # was never met: as new as these
    item = [one for one in range(3, ITEMS) for _ in range(20 if kind[one] else 2)]
    log = log_of(item, [float(day) for day in rng.uniform(1, 300, len(item))])
    found = expected_demand(rows, log, created_at, now=NOW, strength=1.0)
    assert found[1] > 3 * found[0]
    assert found[2] == pytest.approx(found[0], rel=0.1)


def test_without_any_interaction_nothing_is_expected() -> None:
    found = expected_demand(rows_of(3, 4), log_of([], [], 3), np.zeros(3, np.int64), now=NOW, strength=1.0)
    np.testing.assert_array_equal(found, np.zeros(3))


# the report


def world() -> tuple[ItemContent, Interactions, pa.Table]:
    """Sixty items; the higher the code, the more interactions. All have everything but for a few."""
    rng = np.random.default_rng(1)
    taste = rng.normal(size=(ITEMS, 3))
    categories = sparse.csr_matrix(np.eye(4, dtype=bool)[rng.integers(4, size=ITEMS)])
    ids = tuple(f"i{row:03}" for row in range(ITEMS))
    content = ItemContent(
        items=IdIndex(ids),
        vectors={
            Modality.TEXT: (taste @ rng.normal(size=(3, 8))).astype(np.float32),
            Modality.IMAGE: (taste @ rng.normal(size=(3, 6))).astype(np.float32),
        },
        present={Modality.TEXT: np.ones(ITEMS, bool), Modality.IMAGE: np.ones(ITEMS, bool)},
        created_at=np.zeros(ITEMS, np.int64),
        categories=categories,
        category_names=("a", "b", "c", "d"),
    )
    item = [one for one in range(ITEMS) for _ in range(1 + one // 4)]
    log = log_of(item, [float(day) for day in rng.uniform(1, 90, len(item))])
    items = pa.table(
        {schema.ITEM_ID: ids, schema.TITLE: [f"title {one}" for one in ids], schema.DESCRIPTION: ["words"] * ITEMS}
    )
    return content, log, items


CONTENT, LOG, TABLE = world()


def without_picture(*items: int) -> ItemContent:
    present = ~np.isin(np.arange(ITEMS), items)
    vectors = {**CONTENT.vectors, Modality.IMAGE: CONTENT.vectors[Modality.IMAGE] * present[:, None]}
    return replace(CONTENT, vectors=vectors, present={**CONTENT.present, Modality.IMAGE: present})


def report(content: ItemContent, items: pa.Table = TABLE, choice: Choice = EVERY) -> dict[str, dict]:
    mapping = FactorMapping.fit(content, LOG, choice=choice)
    return {row["item_id"]: row for row in help_wanted_table(mapping, content, LOG, items, now=NOW).to_pylist()}


def test_hiding_the_picture_of_a_popular_item_makes_it_rise() -> None:
    before, after = report(CONTENT), report(without_picture(ITEMS - 1))
    popular = f"i{ITEMS - 1:03}"
    assert before[popular]["missing"] == []
    assert before[popular]["rank"] > 1
    assert after[popular]["rank"] == 1
    assert after[popular]["missing"] == ["image"]
    assert after[popular]["uncertainty"] > before[popular]["uncertainty"]
    assert after[popular]["reason"].startswith("no picture; ")


def test_of_two_items_without_a_picture_the_more_popular_one_comes_first() -> None:
    found = report(without_picture(2, ITEMS - 2))
    assert found[f"i{ITEMS - 2:03}"]["rank"] == 1 < found["i002"]["rank"]
    assert found[f"i{ITEMS - 2:03}"]["gain"] >= found["i002"]["gain"] > 0


def test_the_table_is_sorted_complete_and_its_numbers_agree() -> None:
    content = without_picture(3, 30, 50)
    mapping = FactorMapping.fit(content, LOG, choice=EVERY)
    shuffled = TABLE.take(np.random.default_rng(0).permutation(ITEMS))
    table = help_wanted_table(mapping, content, LOG, shuffled, now=NOW)
    assert table["rank"].to_pylist() == list(range(1, ITEMS + 1))
    assert sorted(table["item_id"].to_pylist()) == TABLE["item_id"].to_pylist()
    assert [f"title {one}" for one in table["item_id"].to_pylist()] == table["title"].to_pylist()
    score = table["score"].to_numpy()
    assert (np.diff(score) <= 0).all()
    np.testing.assert_allclose(score, table["gain"].to_numpy() * table["demand"].to_numpy(), atol=1e-4)
    assert ((table["uncertainty"].to_numpy() >= 0) & (table["uncertainty"].to_numpy() <= 1)).all()


def test_an_item_that_lacks_nothing_and_is_clear_wants_nothing() -> None:
    rows = [row for row in report(CONTENT).values() if not row["unclear"]]
    assert rows
    assert all(row["score"] == 0 and row["reason"] == "nothing is missing or unclear" for row in rows)


def test_a_picture_like_no_other_is_unclear() -> None:
    odd = replace(
        CONTENT, vectors={**CONTENT.vectors, Modality.IMAGE: np.hstack([CONTENT.vectors[Modality.IMAGE]] * 2)}
    )
    odd.vectors[Modality.IMAGE][:, 6:] = 0
    odd.vectors[Modality.IMAGE][40] = np.eye(12)[9] * 100  # a direction of its own
    found = report(odd)["i040"]
    assert found["unclear"] == ["image"]
    assert "picture says little" in found["reason"]


def test_an_item_without_categories_is_named_though_it_has_a_date() -> None:
    categories = CONTENT.categories.tolil()
    categories[50] = False
    dated = np.linspace(0, NOW, ITEMS).astype(np.int64)
    found = report(replace(CONTENT, categories=categories.tocsr(), created_at=dated))["i050"]
    assert found["missing"] == ["categories"]
    assert found["gain"] > 0


def test_a_blank_description_is_said() -> None:
    described = ["words"] * (ITEMS - 1) + [" "]
    items = TABLE.set_column(2, schema.DESCRIPTION, pa.array(described))
    assert "no picture, no description" in report(without_picture(ITEMS - 1), items)[f"i{ITEMS - 1:03}"]["reason"]


def test_what_is_not_read_is_not_wanted() -> None:
    found = report(without_picture(ITEMS - 1), choice=Choice(("categories", "text"), 1.0, {}))
    assert all("image" not in row["missing"] for row in found.values())


def test_without_likes_or_content_nothing_is_known_and_nothing_breaks() -> None:
    nothing = replace(CONTENT, vectors={}, present={}, categories=sparse.csr_matrix((ITEMS, 0), dtype=bool))
    for content, log in ((nothing, LOG), (CONTENT, log_of([], []))):
        mapping = FactorMapping.fit(content, log)
        table = help_wanted_table(mapping, content, log, TABLE, now=NOW)
        assert table["score"].to_pylist() == [0.0] * ITEMS
        assert table["uncertainty"].to_pylist() == [1.0] * ITEMS


def test_the_warehouse_keeps_the_latest_report(tmp_path: Path) -> None:
    content = without_picture(5, ITEMS - 1)
    table = help_wanted_table(FactorMapping.fit(content, LOG, choice=EVERY), content, LOG, TABLE, now=NOW)
    path = tmp_path / "warehouse.duckdb"
    with Warehouse(path) as warehouse:
        warehouse.write_help_wanted(table.slice(0, 3))
        warehouse.write_help_wanted(table)
    with Warehouse(path, read_only=True) as warehouse:
        assert warehouse.read("help_wanted", {"n": "7"}).to_pylist() == table.slice(0, 7).to_pylist()


def test_a_warehouse_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "warehouse.duckdb"
    duckdb.connect(path).close()
    with Warehouse(path, read_only=True) as warehouse, pytest.raises(ArtifactError, match="run `trichord run` again"):
        warehouse.read("help_wanted", {"n": "7"})
