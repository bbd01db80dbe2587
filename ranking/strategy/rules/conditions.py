"""From a parsed condition to a mask over the items, once a release; what depends on the time stays a function of it.

A comparison with a missing value is false, so `!=`, `not in` and `not` hold for it.
"""

import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Final, TypeAlias

import numpy as np

from feature_repo.epoch import microseconds
from feature_repo.schema import CREATED_AT
from ranking.strategy.rules.columns import NO_TIME, Columns, ItemColumn, Kind, Label
from ranking.strategy.rules.nearest import hint
from ranking.strategy.rules.syntax import (
    AllOf,
    Among,
    AnyOf,
    Compare,
    Condition,
    Holds,
    Missing,
    Name,
    Not,
    Value,
)
from ranking.types import Bools

AGE: Final = "age"  # the time since an item's `created_at`

Mask: TypeAlias = Bools | Callable[[int], Bools]
"""bool [n_items], or a function of the moment, in microseconds UTC, that gives it."""

_SIGNS: Final = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
_ACCEPTED: Final = {
    Kind.TEXT: "=, !=, in (...), has and `is missing`, with texts in quotes",
    Kind.LIST: "has, =, !=, in (...) and `is missing`, with texts in quotes",
    Kind.NUMBER: "=, !=, <, <=, >, >=, in (...) and `is missing`, with numbers",
    Kind.TRUTH: "the column alone, = true, = false and `is missing`",
    Kind.TIME: '<, <=, >, >= and `is missing`, with times such as "2026-01-31" or "2026-01-31T12:00:00Z"',
}


class ConditionError(Exception):
    """A condition that does not fit the items; the caller adds the place of its rule."""

    def __init__(self, at: int, what: str, accepted: str = "", remedy: str = "") -> None:
        super().__init__(what)
        self.at, self.what, self.accepted, self.remedy = at, what, accepted, remedy


def at(mask: Mask, moment: int) -> Bools:
    """A mask as of a moment, bool [n_items]."""
    return mask(moment) if callable(mask) else mask


def compiled(condition: Condition, columns: Columns) -> Mask:
    """Its mask; raises `ConditionError`."""
    match condition:
        case Not(one):
            inner = compiled(one, columns)
            return _later([inner], lambda masks: ~masks[0])
        case AllOf(several):
            return _later([compiled(one, columns) for one in several], np.logical_and.reduce)
        case AnyOf(several):
            return _later([compiled(one, columns) for one in several], np.logical_or.reduce)
        case Missing(name):
            return column_of(name, columns).missing
        case Holds(name):
            column = column_of(name, columns)
            if column.kind is not Kind.TRUTH:
                raise _misused(name, column, f"{name.text} alone")
            return column.mask([True])
        case Among(name, values):
            column = column_of(name, columns)
            return column.mask([label_of(column, name, one) for one in values])
        case Compare(name, _, value) if isinstance(value.value, timedelta):
            return _aged(condition, columns, value.value)
        case Compare(name, sign, value):
            return _compared(column_of(name, columns), name, sign, value)


def column_of(name: Name, columns: Columns) -> ItemColumn:
    """The column that a name means; ConditionError tells the nearest ones."""
    if name.text in columns:
        return columns[name.text]
    if name.text == AGE:
        raise ConditionError(name.at, "age is compared with no length of time", "age < 7 days, age > 12 hours", "")
    shortened = name.text if len(name.text) <= 60 else f"{name.text[:57]}..."
    accepted = ", ".join([*columns.names, AGE] if CREATED_AT in columns else columns.names)
    raise ConditionError(name.at, f"no column {shortened!r}", accepted, hint(name.text, columns.names))


def label_of(column: ItemColumn, name: Name, value: Value) -> Label:
    """A value as a column's items have it; ConditionError where it is of another kind."""
    given = value.value
    fits = {
        Kind.TEXT: isinstance(given, str),
        Kind.LIST: isinstance(given, str),
        Kind.TRUTH: isinstance(given, bool),
        Kind.NUMBER: isinstance(given, float) and isfinite(given),
        Kind.TIME: False,
    }
    if not fits[column.kind] or isinstance(given, timedelta):
        raise ConditionError(
            value.at,
            f"{shown(value)} for {name.text}, which is a {column.kind}",
            _ACCEPTED[column.kind],
            f'put it in quotes: "{given:g}"' if isinstance(given, float) and column.kind in _TEXTS else "",
        )
    return given


def shown(value: Value) -> str:
    """A value as it is written."""
    match value.value:
        case bool(truth):
            return str(truth).lower()
        case float(number):
            return f"{number:g}"
        case str(text):
            return f'"{text}"' if len(text) <= 60 else f'"{text[:57]}..."'
        case timedelta() as length:
            return f"{length.total_seconds() / 86_400:g} days"


_TEXTS: Final = (Kind.TEXT, Kind.LIST)


def _compared(column: ItemColumn, name: Name, sign: str, value: Value) -> Mask:
    match column.kind, sign:
        case Kind.TIME, "<" | "<=" | ">" | ">=":
            moment = _moment(value, column, name)
            return np.asarray((column.times != NO_TIME) & _SIGNS[sign](column.times, moment))
        case Kind.NUMBER, "<" | "<=" | ">" | ">=":
            label = label_of(column, name, value)
            return np.asarray(_SIGNS[sign](column.numbers, label))  # NaN compares as false
        case Kind.TEXT, "has":
            return column.containing(str(label_of(column, name, value)))
        case Kind.LIST, "has" | "=":
            return column.mask([label_of(column, name, value)])
        case Kind.TEXT | Kind.NUMBER | Kind.TRUTH, "=":
            return column.mask([label_of(column, name, value)])
    raise _misused(name, column, f"{name.text} {sign}")


def _misused(name: Name, column: ItemColumn, said: str) -> ConditionError:
    return ConditionError(name.at, f"{said!r}, but it is a {column.kind}", _ACCEPTED[column.kind])


def _aged(condition: Compare, columns: Columns, length: timedelta) -> Mask:
    """By the time since `created_at`; an item without one is neither young nor old."""
    name, sign = condition.name, condition.sign
    if name.text != AGE or CREATED_AT not in columns:
        remedy = f"write age {sign} {shown(condition.value)}" if CREATED_AT in columns else ""
        raise ConditionError(
            condition.value.at, f"a length of time for {name.text}", "age < 7 days, age > 12 hours", remedy
        )
    if sign not in ("<", "<=", ">", ">="):
        raise ConditionError(name.at, f"age {sign} a length of time", "<, <=, >, >=", "")
    times, span = columns[CREATED_AT].times, length // timedelta(microseconds=1)
    known = times != NO_TIME
    return lambda moment: np.asarray(known & _SIGNS[sign](moment - np.where(known, times, 0), span))


def _moment(value: Value, column: ItemColumn, name: Name) -> int:
    """A time in quotes, UTC where it names no zone, in microseconds."""
    try:
        found = datetime.fromisoformat(value.value if isinstance(value.value, str) else "")
    except ValueError:
        raise ConditionError(
            value.at, f"{shown(value)} for {name.text}, which is a {column.kind}", _ACCEPTED[column.kind]
        ) from None
    return microseconds(found if found.tzinfo else found.replace(tzinfo=UTC))


def _later(masks: list[Mask], joined: Callable[[list[Bools]], Bools]) -> Mask:
    """Join masks, now if all are there already."""
    fixed = [one for one in masks if not callable(one)]
    if len(fixed) == len(masks):
        return np.asarray(joined(fixed))
    return lambda moment: np.asarray(joined([at(one, moment) for one in masks]))
