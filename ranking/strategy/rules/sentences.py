"""Builds a rule's sentence while the grammar reads it."""

import re
from datetime import timedelta
from typing import Final

from lark import Token, Transformer, v_args

from ranking.strategy.rules.syntax import (
    AllOf,
    Among,
    AnyOf,
    Boost,
    Cap,
    Compare,
    Condition,
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
    Sentence,
    Value,
)

MAX_DEPTH: Final = 20  # of brackets and `not` in one another
MAX_AMOUNT: Final = 5_000_000  # of a unit of time: as weeks 96,000 years, far beyond any catalogue, within `timedelta`


class TooDeepError(Exception):
    """Brackets beyond `MAX_DEPTH`."""


class Nested:
    """A condition and how deep it is nested; TooDeepError beyond `MAX_DEPTH`."""

    def __init__(self, condition: Condition, depth: int = 0) -> None:
        if depth > MAX_DEPTH:
            raise TooDeepError
        self.condition = condition
        self.depth = depth


@v_args(inline=True)
class Sentences(Transformer[Token, Sentence]):
    """Builds a sentence while it is read, so that nothing recurses into what a stranger has nested."""

    def exclude(self, _: Token, word: Token, where: Nested) -> Sentence:
        return Exclude(where.condition, word.column or 1)

    def include(self, _: Token, word: Token, where: Nested) -> Sentence:
        return Include(where.condition, word.column or 1)

    def in_stock(self, _: Token, __: Token, stock: Token) -> Sentence:
        return InStock(stock.column or 1)

    def boost(self, _: Token, factor: Token, word: Token, where: Nested) -> Sentence:
        return Boost(self.number(factor), where.condition, word.column or 1)

    def pin(self, _: Token, item: Token, __: Token, slot: Token) -> Sentence:
        return Pin(self.text(item), self.number(slot))

    def cap(self, _: Token, name: Name, __: Token, most: Token) -> Sentence:
        return Cap(name, None, self.number(most))

    def cap_value(self, _: Token, name: Name, value: Value, __: Token, most: Token) -> Sentence:
        return Cap(name, value, self.number(most))

    def quota(self, _: Token, name: Name, value: Value, __: Token, ___: Token, least: Token) -> Sentence:
        return Quota(name, value, self.number(least))

    def no_repeats(self, _: Token, __: Token, ___: Token, length: Token, unit: Token) -> Sentence:
        return NoRepeats(self.duration(length, unit))

    def any_of(self, first: Nested, *others: Nested | Token) -> Nested:
        return _joined(AnyOf, [first, *(one for one in others if isinstance(one, Nested))])

    def all_of(self, first: Nested, *others: Nested | Token) -> Nested:
        return _joined(AllOf, [first, *(one for one in others if isinstance(one, Nested))])

    def negated(self, _: Token, one: Nested) -> Nested:
        return Nested(Not(one.condition), one.depth + 1)

    def inner(self, one: Nested) -> Nested:
        return Nested(one.condition, one.depth + 1)

    def compare(self, name: Name, sign: Token, value: Value) -> Nested:
        if sign == "!=":
            return Nested(Not(Compare(name, "=", value)))
        return Nested(Compare(name, str(sign), value))

    def equals(self, name: Name, value: Value) -> Nested:
        return Nested(Compare(name, "=", value))

    def has(self, name: Name, _: Token, value: Value) -> Nested:
        return Nested(Compare(name, "has", value))

    def among(self, name: Name, _: Token, *values: Value) -> Nested:
        return Nested(Among(name, values))

    def not_among(self, name: Name, _: Token, __: Token, *values: Value) -> Nested:
        return Nested(Not(Among(name, values)))

    def missing(self, name: Name, *_: Token) -> Nested:
        return Nested(Missing(name))

    def not_missing(self, name: Name, *_: Token) -> Nested:
        return Nested(Not(Missing(name)))

    def holds(self, name: Name) -> Nested:
        return Nested(Holds(name))

    def name(self, token: Token) -> Name:
        return Name(str(token).strip("`"), token.column or 1)

    def text(self, token: Token) -> Value:
        return Value(re.sub(r"\\(.)", r"\1", token[1:-1]), token.column or 1)

    def number(self, token: Token) -> Value:
        return Value(float(token), token.column or 1)

    def duration(self, length: Token, unit: Token) -> Value:
        amount = min(max(float(length), -MAX_AMOUNT), MAX_AMOUNT)
        return Value(timedelta(**{f"{unit.lower().rstrip('s')}s": amount}), length.column or 1)

    def true(self, token: Token) -> Value:
        return Value(True, token.column or 1)

    def false(self, token: Token) -> Value:
        return Value(False, token.column or 1)


def _joined(kind: type[AllOf] | type[AnyOf], parts: list[Nested]) -> Nested:
    return Nested(kind(tuple(one.condition for one in parts)), max(one.depth for one in parts))
