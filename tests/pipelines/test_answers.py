"""What the shell is asked and shows."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from rich.console import Console

from feature_repo.settings import Settings
from pipelines.answers import feature_table, parse_pairs, parse_request, wanted_items, wanted_table
from pipelines.errors import HomeError
from ranking.errors import ArtifactError, BadRequestError
from ranking.evaluation.warehouse import Warehouse


def test_pairs_are_parsed_at_their_first_sign():
    pairs = parse_pairs(["user_id=42", "item_id=a=b"], what="entity", accepted="user_id=ID")
    assert pairs == {"user_id": "42", "item_id": "a=b"}


@pytest.mark.parametrize("text", ["user_id", "user_id=", "=42", "=", ""])
def test_anything_else_is_refused_with_what_is_accepted(text: str):
    with pytest.raises(BadRequestError, match="accepted is user_id=ID or item_id=ID") as error:
        parse_pairs([text], what="entity", accepted="user_id=ID or item_id=ID")
    assert f"entity {text!r}" in str(error.value)


def test_a_request_takes_its_moment_and_surroundings():
    request = parse_request("u1", k=3, context=["at=2024-05-01T10:00:00Z", "device=phone"], explain=True)
    assert (request.user_id, request.k, request.explain) == ("u1", 3, True)
    assert request.context.at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert (request.context.device, request.context.place) == ("phone", None)


@pytest.mark.parametrize(
    ("k", "context", "named"),
    [
        (0, [], r"k 0"),
        (10, ["at=yesterday"], r"context\.at 'yesterday'"),
        (10, ["weather=rain"], r"context\.weather 'rain'"),
        (10, ["device"], r"context 'device': accepted is at=ISO-TIME"),
    ],
)
def test_a_bad_request_names_its_first_bad_value_in_one_line(k: int, context: list[str], named: str):
    with pytest.raises(BadRequestError, match=named) as error:
        parse_request("u1", k=k, context=context, explain=False)
    assert len(str(error.value).splitlines()) == 1


def test_a_request_takes_rules_weights_and_other_wishes():
    wishes = {"rules": ["cap maker at 1"], "diversity": 0.3, "explorer": "thompson"}
    request = parse_request("u1", k=3, context=[], explain=False, weights=["content=2"], wishes=wishes)
    assert (request.rules, request.diversity, request.explorer) == (("cap maker at 1",), 0.3, "thompson")
    assert (request.weights.content, request.weights.popularity) == (2, 1)


@pytest.mark.parametrize(
    ("weight", "named"),
    [("content", "weight 'content': accepted is GROUP=NUMBER, of popularity"), ("content=9", r"weights\.content '9'")],
)
def test_a_bad_weight_is_refused_with_what_is_accepted(weight: str, named: str):
    with pytest.raises(BadRequestError, match=named):
        parse_request("u1", k=3, context=[], explain=False, weights=[weight])


def test_features_are_shown_by_name_and_long_ones_are_cut():
    console = Console(file=io.StringIO(), width=120)
    console.print(feature_table({"user_id": "42"}, {"b": [0.5] * 100, "a": 3}))
    text = console.file.getvalue()
    assert "user_id 42" in text
    assert text.index(" a ") < text.index(" b ")
    assert "..." in text


def wanting(scores: list[float]) -> pa.Table:
    """A report on items of which the first has a title that looks like markup."""
    n = len(scores)
    return pa.table(
        {
            "rank": pa.array(range(1, n + 1), pa.int32()),
            "item_id": [f"i{one}" for one in range(n)],
            "title": pa.array(["[/rec] 2", *[None] * (n - 1)], pa.string()),
            "missing": [["image"] if score else [] for score in scores],
            "unclear": pa.array([[] for _ in scores], pa.list_(pa.string())),
            **dict.fromkeys(("uncertainty", "gain", "demand", "score"), scores),
            "reason": ["no picture" if score else "nothing is missing or unclear" for score in scores],
        }
    )


def shown(found: pa.Table) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(wanted_table(found))
    return console.file.getvalue()


def test_items_that_want_help_are_shown_as_they_are_named(tmp_path: Path):
    settings = Settings(home=tmp_path)
    with Warehouse(settings.warehouse) as warehouse:
        warehouse.write_help_wanted(wanting([0.5, 0.25, 0.125, 0.0]))
    assert wanted_items(settings, n=2)["item_id"].to_pylist() == ["i0", "i1"]
    found = wanted_items(settings, n=20)
    assert found["item_id"].to_pylist() == ["i0", "i1", "i2"]  # the last one wants nothing
    assert "[/rec] 2" in shown(found)
    assert "0.250" in shown(found)


def test_where_nothing_is_wanted_that_is_said(tmp_path: Path):
    settings = Settings(home=tmp_path)
    with Warehouse(settings.warehouse) as warehouse:
        warehouse.write_help_wanted(wanting([0.0]))
    assert "nothing is missing or unclear" in shown(wanted_items(settings, n=20))


def test_before_a_run_has_looked_a_line_says_what_to_do(tmp_path: Path):
    settings = Settings(home=tmp_path)
    with pytest.raises(ArtifactError, match="`trichord run`"):
        wanted_items(settings, n=20)
    Warehouse(settings.warehouse).__exit__(None, None, None)
    with pytest.raises(HomeError, match="run `trichord run` first"):
        wanted_items(settings, n=20)
