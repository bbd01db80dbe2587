"""The rule language: what is read as what, and where exactly a fault is said to be."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.errors import RuleFault
from ranking.strategy.rules.parsing import MAX_LENGTH, parse
from ranking.strategy.rules.sentences import MAX_DEPTH
from ranking.strategy.rules.syntax import (
    AllOf,
    Among,
    AnyOf,
    Boost,
    Cap,
    Compare,
    Exclude,
    Holds,
    Include,
    InStock,
    Missing,
    Name,
    NoRepeats,
    Not,
    Pin,
    Quota,
    Rule,
    Value,
)


def sentence(text: str):
    found = parse(text)
    assert isinstance(found, Rule), found
    return found.sentence


def fault(text: str) -> RuleFault:
    found = parse(text)
    assert isinstance(found, RuleFault), found
    return found


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("only in stock", InStock(9)),
        ("boost 1.5 where fresh", Boost(Value(1.5, 7), Holds(Name("fresh", 17)), 11)),
        ('pin "i7" at 2', Pin(Value("i7", 5), Value(2.0, 13))),
        ("cap categories at 2", Cap(Name("categories", 5), None, Value(2.0, 19))),
        ("cap maker = 'x' at 3", Cap(Name("maker", 5), Value("x", 13), Value(3.0, 20))),
        ("quota year = 1999 at least 2", Quota(Name("year", 7), Value(1999.0, 14), Value(2.0, 28))),
        ("no repeats within 2 weeks", NoRepeats(Value(timedelta(weeks=2), 19))),
        ("INCLUDE WHERE a IS MISSING", Include(Missing(Name("a", 15)), 9)),
        ("exclude where a is not missing", Exclude(Not(Missing(Name("a", 15))), 9)),
        ("exclude where `odd name` != 3", Exclude(Not(Compare(Name("odd name", 15), "=", Value(3.0, 29))), 9)),
        ('exclude where a in ("x", true)', Exclude(Among(Name("a", 15), (Value("x", 21), Value(True, 26))), 9)),
        ("cap at at 3", Cap(Name("at", 5), None, Value(3.0, 11))),
        ("exclude where orders", Exclude(Holds(Name("orders", 15)), 9)),
    ],
)
def test_a_rule_is_read_as_it_is_meant(text, meant):
    assert sentence(text) == meant


def test_and_binds_closer_than_or_and_not_closest():
    a, b, c = (Holds(Name(one, at)) for one, at in (("a", 15), ("b", 24), ("c", 30)))
    assert sentence("exclude where a or not b and c") == Exclude(AnyOf((a, AllOf((Not(b), c)))), 9)
    assert sentence("exclude where (a or b) and c").where == AllOf(
        (AnyOf((Holds(Name("a", 16)), Holds(Name("b", 21)))), Holds(Name("c", 28)))
    )


def test_quotes_hold_any_character_and_comments_end_a_rule():
    found = parse(r'exclude where a = "x # \" y" # because')
    assert isinstance(found, Rule)
    assert found.sentence.where.value.value == 'x # " y'
    assert found.text == r'exclude where a = "x # \" y"'


@pytest.mark.parametrize(
    ("text", "column", "told"),
    [
        ("", 1, "an empty rule"),
        ("# nothing", 1, "an empty rule"),
        ("exlude where a", 1, "did you mean 'exclude'?"),
        ("exclude were a", 9, "did you mean 'where'?"),
        ("exclude where", 14, "the rule ends too early"),
        ("exclude where a and # b", 20, "the rule ends too early"),
        ("exclude where maker = Oskar", 23, 'put texts in quotes: "Oskar"'),
        ("exclude where a == 3", 18, "write a single ="),
        ("exclude where a = “x”", 19, "use straight quotes"),
        ('exclude where a = "x', 19, "close the quotes"),
        ("exclude where a && b", 17, "write `and`"),
        ("exclude where !a", 15, "write `not`"),
        ("exclude where a\nexclude where b", 16, "write one rule a line"),
        ("exclude where (a or b", 22, "`or`, != < <= > >=, =, )"),
        ("exclude where a)", 16, "')' is not expected"),
        ("boost where a", 7, "accepted is a number"),
        ("boost 2x where a", 8, "'x' is not expected"),
        ("pin i1 at 1", 5, 'put texts in quotes: "i1"'),
        ("cap categories at 2 a page", 21, "accepted is the end of the rule"),
        ("quota a = 1 at lest 2", 16, "did you mean 'least'?"),
        ("no repeats within 7", 20, "minutes, hours, days or weeks"),
        ("exclude where " + "(" * 30 + "a" + ")" * 30, 1, f"at most {MAX_DEPTH}"),
        ("exclude where " + "not " * 400 + "a", 1, f"at most {MAX_DEPTH}"),
        ("x" * 3000, MAX_LENGTH + 1, "divide it into several rules"),
    ],
)
def test_a_fault_is_said_where_it_is(text, column, told):
    found = fault(text)
    assert (found.line, found.column) == (1, column)
    assert told in found.text


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(["exclude", "where", "cap", "pin", "at", "2", "a", "(", ")", "=", "and", "not", '"', "'"])
    ).map(" ".join)
)
def test_any_text_is_a_rule_or_a_fault_within_it(text):
    found = parse(text)
    if isinstance(found, RuleFault):
        assert 1 <= found.column <= len(text) + 1
        assert found.what
