"""What a rule says, as parsed: nothing of it is checked against a catalogue yet.

`at` is everywhere the character, counted from 1, at which something stands in its line.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias


@dataclass(frozen=True)
class Name:
    """A column of the items."""

    text: str
    at: int


@dataclass(frozen=True)
class Value:
    """What a column is compared with."""

    value: str | float | bool | timedelta
    at: int


@dataclass(frozen=True)
class Compare:
    """sign: `=`, `<`, `<=`, `>`, `>=` or `has`; `!=` is a `Not` of `=`."""

    name: Name
    sign: str
    value: Value


@dataclass(frozen=True)
class Among:
    """The column's value is one of these."""

    name: Name
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Missing:
    """The column has no value."""

    name: Name


@dataclass(frozen=True)
class Holds:
    """The column is true."""

    name: Name


@dataclass(frozen=True)
class Not:
    """The condition does not hold."""

    condition: "Condition"


@dataclass(frozen=True)
class AllOf:
    """All conditions hold."""

    conditions: tuple["Condition", ...]


@dataclass(frozen=True)
class AnyOf:
    """One condition holds at least."""

    conditions: tuple["Condition", ...]


Condition: TypeAlias = Compare | Among | Missing | Holds | Not | AllOf | AnyOf


@dataclass(frozen=True)
class Exclude:
    """These are never shown. at: of the word `where`."""

    where: Condition
    at: int


@dataclass(frozen=True)
class Include:
    """Only these are shown. at: of the word `where`."""

    where: Condition
    at: int


@dataclass(frozen=True)
class InStock:
    """Only what is in stock is shown. at: of the word `stock`."""

    at: int


@dataclass(frozen=True)
class Boost:
    """These score log(factor) deviations of the slate more. at: of the word `where`."""

    factor: Value
    where: Condition
    at: int


@dataclass(frozen=True)
class Pin:
    """This item stands in this slot, from 1."""

    item: Value
    slot: Value


@dataclass(frozen=True)
class Cap:
    """At most so many items with this value of a column, or with each of its values if none is named."""

    name: Name
    value: Value | None
    most: Value


@dataclass(frozen=True)
class Quota:
    """At least so many items with this value of a column."""

    name: Name
    value: Value
    least: Value


@dataclass(frozen=True)
class NoRepeats:
    """Nothing that the user met or was shown so lately."""

    within: Value


Sentence: TypeAlias = Exclude | Include | InStock | Boost | Pin | Cap | Quota | NoRepeats


@dataclass(frozen=True)
class Rule:
    """A sentence. text: as written, without a comment."""

    sentence: Sentence
    text: str
