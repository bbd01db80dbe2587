"""The linter: what it refuses and warns of, at which line and column."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from feature_repo import schema
from ranking.errors import RuleError
from ranking.strategy.rules.compiler import MAX_LINES, Compiler

ROWS = [
    {
        "item_id": "a1",
        "categories": ["tea"],
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "price": 1.0,
        "maker": "x",
    },
    {"item_id": "a2", "categories": ["tea", "pots"], "price": 2.0, "maker": "x"},
    {"item_id": "b1", "categories": ["pots"], "price": 3.0, "maker": "y"},
]


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    whole = pa.schema([*schema.ITEMS, pa.field("price", pa.float64()), pa.field("maker", pa.string())])
    return Compiler(pa.Table.from_pylist(ROWS, whole))


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ('exclude where categores has "tea"', 15, "did you mean 'categories'?"),
        ('exclude where price = "1"', 23, '"1" for price, which is a number'),
        ("exclude where maker = 3", 23, 'put it in quotes: "3"'),
        ("exclude where maker > 3", 15, "it is a text"),
        ("exclude where price has 3", 15, "it is a number"),
        ("exclude where maker", 15, "it is a text"),
        ('exclude where created_at > "soon"', 28, '"2026-01-31"'),
        ('exclude where created_at = "2026-01-01"', 15, "it is a time"),
        ("exclude where age < 7", 15, "age < 7 days"),
        ("exclude where age = 7 days", 15, "accepted are <, <=, >, >="),
        ("exclude where price < 7 days", 23, "write age < 7 days"),
        ("exclude where price > " + "9" * 400, 23, "for price"),
        ("boost 0 where price > 1", 7, "exclude where"),
        ("boost 1001 where price > 1", 7, "at most 1000"),
        ("boost -2 where price > 1", 7, "above 0"),
        ('pin "a11" at 1', 5, "did you mean 'a1'?"),
        ('pin "a1" at 0', 13, "a whole number from 1 to 100"),
        ('pin "a1" at 1.5', 13, "a whole number from 1 to 100"),
        ("cap categories at 0", 19, "exclude where"),
        ("cap created_at at 1", 5, "is a time"),
        ("cap nothing at 1", 5, "no column 'nothing'"),
        ("quota maker = 3 at least 1", 15, "which is a text"),
        ("quota maker = 'x' at least 101", 28, "from 1 to 100"),
        ("no repeats within 0 days", 19, "above 0"),
        ("only in stock", 9, "in_stock or stock"),
    ],
)
def test_a_rule_that_does_not_fit_the_items_is_refused_at_its_place(compiler, text, column, told):
    linted = compiler.lint_lines(f"# first\n\n{text}")
    (found,) = linted.errors
    assert (found.rule, found.line, found.column) == (0, 3, column)
    assert told in found.text
    with pytest.raises(RuleError, match=rf"rules\[1\], column {column}"):
        compiler.compile(["cap maker at 2", text])


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("exclude where price > 9", 9, "no item matches"),
        ("include where price > 9", 9, "nothing is shown"),
        ("boost 2 where price > 9", 9, "no item matches"),
        ("cap categories = 'Tea' at 1", 18, "did you mean 'tea'?"),
        ("quota maker = 'z' at least 1", 15, "no item has maker"),
    ],
)
def test_a_rule_that_no_item_meets_is_a_warning(compiler, text, column, told):
    linted = compiler.lint([text])
    (found,) = linted.faults
    assert found.warning and not linted.errors
    assert (found.column, told in found.text) == (column, True)
    compiler.compile([text])


@pytest.mark.parametrize(
    ("first", "second", "column", "told"),
    [
        ("pin 'a1' at 1", "pin 'a2' at 1", 13, "slot 1 is taken"),
        ("pin 'a1' at 1", "pin 'a1' at 2", 5, "stands in slot 1"),
        ("cap maker at 1", "quota maker = 'x' at least 2", 28, "at least 2 and at most 1"),
        ("quota maker = 'x' at least 2", "cap maker = 'x' at 1", 1, "at least 2 and at most 1"),
        ("cap categories at 1\npin 'a1' at 1", "pin 'a2' at 2", 1, "2 pinned items with categories 'tea'"),
    ],
)
def test_rules_that_contradict_each_other_are_refused_at_the_later_one(compiler, first, second, column, told):
    linted = compiler.lint_lines(f"{first}\n{second}")
    (found,) = linted.errors
    assert (found.line, found.column) == (len(first.splitlines()) + 1, column)
    assert told in found.text


@pytest.mark.parametrize(
    "texts",
    [
        ["pin 'a1' at 1", "pin 'a1' at 1"],
        ["cap maker at 2", "quota maker = 'x' at least 2"],
        ["cap maker = 'y' at 1", "quota maker = 'x' at least 2"],
        ["cap categories at 1", "pin 'a1' at 1", "pin 'b1' at 2"],
    ],
)
def test_rules_that_can_be_followed_together_pass(compiler, texts):
    assert compiler.lint(texts).faults == []


def test_a_pin_of_what_is_left_out_is_a_warning(compiler):
    (found,) = compiler.lint(["exclude where maker = 'x'", "pin 'a1' at 1"]).faults
    assert found.warning and found.rule == 1


def test_every_fault_is_told_and_the_good_rules_count(compiler):
    linted = compiler.lint_lines("cap maker at 1\ncap nobody at 1\n# nothing\npin 'zz' at 1\nboost 2 where price > 1")
    assert [(one.rule, one.line) for one in linted.errors] == [(1, 2), (2, 4)]
    assert (len(linted.rules.caps), len(linted.rules.boosts), linted.count) == (1, 1, 4)


def test_a_file_of_too_many_rules_is_refused(compiler):
    linted = compiler.lint_lines("cap maker at 1\n" * (MAX_LINES + 1))
    assert [one.line for one in linted.errors] == [MAX_LINES + 1]


def test_the_same_rule_is_compiled_once(compiler):
    one, two = (compiler.compile(["exclude where price > 1"]).filters[0] for _ in range(2))
    assert one is two
