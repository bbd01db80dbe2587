"""What the shell is asked and shows."""

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from pipelines.answers import feature_table, parse_pairs, parse_request
from ranking.errors import BadRequestError


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


def test_features_are_shown_by_name_and_long_ones_are_cut():
    console = Console(file=io.StringIO(), width=120)
    console.print(feature_table({"user_id": "42"}, {"b": [0.5] * 100, "a": 3}))
    text = console.file.getvalue()
    assert "user_id 42" in text
    assert text.index(" a ") < text.index(" b ")
    assert "..." in text
