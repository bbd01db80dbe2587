"""The page: one file, readable without a network, whatever the names of the data are."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.candidates.full_ranking import unseen
from ranking.candidates.generator import top_k
from ranking.evaluation import report as report_module
from ranking.evaluation.charts import Axis, line_chart, mark
from ranking.evaluation.comparisons import store_comparisons
from ranking.evaluation.page import write_page
from ranking.evaluation.report import build_report
from ranking.evaluation.warehouse import Warehouse
from ranking.splits import Protocol, split
from ranking.types import IdIndex, Interactions

EVIL = '<script>alert("1")</script>&'
VOID = {"meta", "br", "line", "circle", "polyline"}


class Page(HTMLParser):
    """Checks that tags close in order, and keeps what the tests ask for."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def count(self, tag: str) -> int:
        return sum(one == tag for one, _ in self.seen)


def log_of(users: int = 40, items: int = 25) -> Interactions:
    draw = np.random.default_rng(0)
    n = users * 10
    return Interactions(
        users=IdIndex.of(f"u{i}" for i in range(users)),
        items=IdIndex.of(f"i{i}" for i in range(items)),
        user=np.repeat(np.arange(users, dtype=np.int32), 10),
        item=np.concatenate([draw.permutation(items)[:10] for _ in range(users)]).astype(np.int32),
        occurred_at=np.arange(n, dtype=np.int64) * 3_600_000_000,
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=np.array([EVIL, "tv"], object)[np.arange(n) % 2],
        place=np.full(n, None, object),
    )


@pytest.fixture
def warehouse(monkeypatch):
    monkeypatch.setattr(report_module, "LEAST_USERS", 3)
    log = log_of()
    users = pa.table({"user_id": list(log.users.ids), "club": [EVIL if i % 2 else "b" for i in range(len(log.users))]})
    with Warehouse(Path(":memory:")) as opened:
        opened.write_run(dataset=EVIL, seeds=[0, 1])
        divided = split(log, Protocol.P2)
        opened.write_split(divided, users)
        for seed, model in enumerate(("hybrid", "hybrid@1", "hybrid-text", "ease", "nothing")):
            scores = np.random.default_rng(seed).normal(size=(len(divided.queries), 25)).astype(np.float32)
            items, best = top_k(unseen(scores, divided.queries), 25)
            if model == "nothing":
                items = np.full_like(items, -1)
            opened.write_rankings(divided, model, items, best)
        store_comparisons(opened, Protocol.P2)
        yield opened


def page_of(warehouse: Warehouse, folder: Path) -> tuple[Page, str]:
    path = folder / "evaluation.html"
    write_page(warehouse, build_report(warehouse), path)
    text = path.read_text()
    return Page(text), text


def test_the_page_stands_alone_and_is_well_formed(warehouse, tmp_path):
    page, text = page_of(warehouse, tmp_path)
    assert page.count("script") == page.count("link") == page.count("img") == 0
    assert not re.findall(r"(?:https?:)?//\w|@import|url\(", text)
    assert page.count("h1") == 1
    assert page.count("h2") == 1  # a protocol each
    for model in ("hybrid", "hybrid-text", "ease", "nothing"):
        assert model in page.text
    assert "hybrid@1" not in page.text


def test_everything_that_is_shown_can_be_heard(warehouse, tmp_path):
    page, _ = page_of(warehouse, tmp_path)
    assert page.count("table") == page.count("caption") > 3
    assert all("scope" in attributes for tag, attributes in page.seen if tag == "th")
    plots = [
        attributes for tag, attributes in page.seen if tag == "span" and "track" in (attributes.get("class") or "")
    ]
    assert plots
    assert all(one["aria-hidden"] == "true" for one in plots)  # their numbers stand beside them
    ids = [attributes["id"] for _, attributes in page.seen if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for tag, attributes in page.seen if tag == "a"]
    assert {f"#{one}" for one in ids} >= set(links)


def test_names_of_the_data_are_text_and_nothing_else(warehouse, tmp_path):
    page, text = page_of(warehouse, tmp_path)
    assert EVIL not in text
    assert f"Evaluation of {EVIL}" in page.text  # the dataset's name
    assert f"club={EVIL}" in page.text
    assert f"device={EVIL}" in page.text


def test_tables_of_other_parts_are_shown_where_they_have_rows(warehouse, tmp_path):
    before, _ = page_of(warehouse, tmp_path)
    assert before.count("svg") == 0
    for statement in (
        "insert into candidate_budgets by name select 'p2' as protocol, 'union' as generator, unnest([10, 50]) as k, "
        "unnest([.2, .6]) as recall",
        "insert into candidate_generators by name select 'p2' as protocol, 'ease' as generator, .5 as recall",
        "insert into point_predictions select 'p2', 'trees', unnest(['rows', 'rate', 'auc', 'logloss', 'ece']), "
        "unnest([100, .5, .98, .2, .01])",
        "insert into reliability by name select 'p2' as protocol, 'trees' as model, unnest([.1, .9]) as predicted, "
        "unnest([.2, .8]) as observed",
        "insert into trials by name select 's' as study, 'p2' as protocol, 'ease' as model, unnest([0, 1, 2]) "
        "as number, unnest([.1, null, .2]) as value",
    ):
        warehouse._db.execute(statement)
    page, _ = page_of(warehouse, tmp_path)
    assert page.count("svg") == page.count("title") - 1 == page.count("desc") == 3
    for said in (
        "Recall of the candidates",
        "Best validation score",
        "auc",
        "0.9800",
        "perfect",
        "What each generator",
    ):
        assert said in page.text


def test_nothing_evaluated_is_said(tmp_path):
    with Warehouse(Path(":memory:")) as empty:
        empty.write_run(dataset="none", seeds=[])
        page, _ = page_of(empty, tmp_path)
    assert "Nothing was evaluated" in page.text


@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_an_axis_holds_its_values_and_its_ticks(values):
    axis = Axis.over(values)
    assert all(axis.low <= one <= axis.high for one in [*values, 0])
    assert all(0 <= axis.share(one) <= 1 for one in values)
    span = axis.high - axis.low
    assert all(axis.low - span * 1e-6 <= tick <= axis.high + span * 1e-6 for tick in axis.ticks())


def test_an_interval_is_drawn_from_its_low_to_its_high_end():
    drawn = mark(0.0, [-1.0, 1.0], Axis(-2.0, 2.0))
    assert (drawn.low, drawn.at, drawn.low + drawn.width, drawn.zero) == (25, 50, 75, 50)


def test_a_line_goes_from_the_lower_left_to_the_upper_right():
    chart = line_chart("t", {"a": [(0, 0), (10, 1)]}, x_label="x", y_label="y")
    ends = [tuple(map(float, point.split(","))) for point in chart.lines[0].points.split()]
    assert ends == [(chart.left, chart.bottom), (chart.right, chart.top)]
    assert chart.lines[0].ends == ends[-1]
