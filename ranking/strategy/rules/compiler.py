"""Checks rules against a release's items, and compiles them once each."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from math import isfinite, log
from typing import Final

import numpy as np
import pyarrow as pa

from ranking.errors import RuleError, RuleFault
from ranking.strategy.rules.columns import Columns, ItemColumn, Kind
from ranking.strategy.rules.compiled import (
    NO_RULES,
    BoostRule,
    CapRule,
    CompiledRule,
    FilterRule,
    PinRule,
    QuotaRule,
    RepeatRule,
    RuleSet,
)
from ranking.strategy.rules.conditions import ConditionError, Mask, column_of, compiled, label_of, shown
from ranking.strategy.rules.contradictions import Placed, contradictions
from ranking.strategy.rules.nearest import hint
from ranking.strategy.rules.parsing import parse
from ranking.strategy.rules.syntax import (
    Boost,
    Cap,
    Exclude,
    Include,
    InStock,
    Name,
    NoRepeats,
    Pin,
    Quota,
    Rule,
    Value,
)
from ranking.types import UNKNOWN

MAX_SLOT: Final = 100  # the longest page
MAX_FACTOR: Final = 1_000.0
MAX_LINES: Final = 300  # rules of a file
STOCK: Final = ("in_stock", "stock")
REMEMBERED: Final = 256  # compiled rules; a mask of 20,000 items takes 20 kB

_EMPTY: Final = re.compile(r"\s*(#.*)?")


@dataclass(frozen=True)
class Checked:
    """One rule's outcome. compiled: None where a fault is an error, or where no item can meet it."""

    rule: Rule | None
    compiled: CompiledRule | None
    faults: tuple[RuleFault, ...] = ()


@dataclass(frozen=True)
class Linted:
    """The good ones of some rules, and the faults of the others. count: rules in all."""

    rules: RuleSet
    faults: list[RuleFault] = field(default_factory=list)
    count: int = 0

    @property
    def errors(self) -> list[RuleFault]:
        """The faults but for warnings."""
        return [one for one in self.faults if not one.warning]


class Compiler:
    """Of one release. table: its items, rows in the order of their codes. Any number of threads may ask."""

    def __init__(self, table: pa.Table) -> None:
        self.columns = Columns(table)
        self._checked = lru_cache(maxsize=REMEMBERED)(self._check)

    def compile(self, texts: Sequence[str]) -> RuleSet:
        """The rules of texts, one each; RuleError with all faults where any is wrong."""
        if not texts:
            return NO_RULES
        linted = self.lint(texts)
        if linted.errors:
            raise RuleError(linted.errors)
        return linted.rules

    def lint(self, texts: Sequence[str]) -> Linted:
        """What is wrong with texts of one rule each."""
        return self._linted((number, 1, text) for number, text in enumerate(texts))

    def lint_lines(self, text: str) -> Linted:
        """What is wrong with a text of one rule a line; blank lines and comments are skipped."""
        lines = [(line, one) for line, one in enumerate(text.splitlines(), 1) if not _EMPTY.fullmatch(one)]
        linted = self._linted((number, line, one) for number, (line, one) in enumerate(lines[:MAX_LINES]))
        if len(lines) > MAX_LINES:
            line, _ = lines[MAX_LINES]
            linted.faults.append(RuleFault(MAX_LINES, line, 1, f"{len(lines)} rules", f"at most {MAX_LINES}"))
        return linted

    def _linted(self, lines: Iterable[tuple[int, int, str]]) -> Linted:
        good: list[Placed] = []
        faults: list[RuleFault] = []
        idle: list[str] = []
        count = 0
        for number, line, text in lines:
            count += 1
            checked = self._checked(text)
            faults += [replace(one, rule=number, line=line) for one in checked.faults]
            if checked.rule is not None and checked.compiled is not None:
                good.append(Placed(checked.rule, checked.compiled, number, line))
            elif checked.rule is not None:
                idle.append(checked.rule.text)
        found, kept = contradictions(good)
        rules = RuleSet.of([one.compiled for one in kept], idle)
        return Linted(rules, sorted(faults + found, key=lambda one: (one.rule, one.column)), count)

    def _check(self, text: str) -> Checked:
        rule = parse(text)
        if isinstance(rule, RuleFault):
            return Checked(None, None, (rule,))
        try:
            return self._compiled(rule)
        except ConditionError as error:
            return Checked(None, None, (RuleFault(0, 1, error.at, error.what, error.accepted, error.remedy),))

    def _compiled(self, rule: Rule) -> Checked:
        match rule.sentence:
            case Exclude(where, at):
                mask = compiled(where, self.columns)
                return self._where(rule, at, mask, FilterRule(rule.text, _inverse(mask)))
            case Include(where, at):
                mask = compiled(where, self.columns)
                return self._where(rule, at, mask, FilterRule(rule.text, mask), needed=True)
            case InStock(at):
                return Checked(rule, FilterRule(rule.text, self._in_stock(at)))
            case Boost(factor, where, at):
                mask = compiled(where, self.columns)
                return self._where(rule, at, mask, BoostRule(rule.text, mask, log(_factor(factor))))
            case Pin(item, slot):
                return Checked(rule, PinRule(rule.text, self._item(item), _count(slot, "slot")))
            case Cap() as cap:
                return self._cap(rule, cap)
            case Quota() as quota:
                return self._quota(rule, quota)
            case NoRepeats(within):
                return Checked(rule, RepeatRule(rule.text, _span(within)))

    def _where(self, rule: Rule, at: int, mask: Mask, found: CompiledRule, *, needed: bool = False) -> Checked:
        """With a warning where no item matches; such a rule is idle, but for one that lets nothing else through."""
        if callable(mask) or mask.any():
            return Checked(rule, found)
        remedy = "then nothing is shown: see that values are spelt as the items have them" if needed else ""
        warning = RuleFault(0, 1, at, "no item matches", "", remedy or "see that values are spelt as they are", True)
        return Checked(rule, found if needed else None, (warning,))

    def _cap(self, rule: Rule, cap: Cap) -> Checked:
        column, most = self._counted(cap.name), _count(cap.most, "cap")
        if cap.value is None:
            return Checked(rule, CapRule(rule.text, column, None, most))
        code, faults = self._value(cap.name, cap.value)
        return Checked(rule, None if code is None else CapRule(rule.text, column, code, most), faults)

    def _quota(self, rule: Rule, quota: Quota) -> Checked:
        column, least = self._counted(quota.name), _count(quota.least, "quota")
        code, faults = self._value(quota.name, quota.value)
        if code is None:
            return Checked(rule, None, faults)
        return Checked(rule, QuotaRule(rule.text, column, code, least, column.mask([column.labels[code]])))

    def _in_stock(self, at: int) -> Mask:
        for name in STOCK:
            if name in self.columns and self.columns[name].kind in (Kind.TRUTH, Kind.NUMBER):
                column = self.columns[name]
                return column.mask([True]) if column.kind is Kind.TRUTH else np.asarray(column.numbers > 0)
        wanted = "an item column in_stock or stock, of numbers or of true and false"
        raise ConditionError(at, "the items do not say what is in stock", wanted, "add one to the items, and run again")

    def _item(self, item: Value) -> int:
        code = int(self.columns.items.codes([str(item.value)])[0])
        if code == UNKNOWN:
            remedy = hint(str(item.value), self.columns.items.ids, "see that it is an id, no title")
            raise ConditionError(item.at, f"no item {shown(item)}", "an item_id of this release", remedy)
        return code

    def _counted(self, name: Name) -> ItemColumn:
        """A column whose values can be counted."""
        column = column_of(name, self.columns)
        if column.kind is Kind.TIME:
            kinds = ", ".join(kind for kind in Kind if kind is not Kind.TIME)
            raise ConditionError(
                name.at, f"{name.text} is a time", f"a column of {kinds}", "times are hardly ever equal"
            )
        return column

    def _value(self, name: Name, value: Value) -> tuple[int | None, tuple[RuleFault, ...]]:
        """A value's code, or a warning that no item has it."""
        column = self._counted(name)
        label = label_of(column, name, value)
        code = column.code(label)
        if code is not None:
            return code, ()
        remedy = hint(str(label), [str(one) for one in column.labels])
        return None, (RuleFault(0, 1, value.at, f"no item has {name.text} {shown(value)}", "", remedy, True),)


def _inverse(mask: Mask) -> Mask:
    if callable(mask):
        return lambda moment: ~mask(moment)
    return ~mask


def _factor(factor: Value) -> float:
    number = float(factor.value) if isinstance(factor.value, float) else 0.0
    if not (0 < number <= MAX_FACTOR):
        remedy = "to leave items out write `exclude where ...`" if number <= 0 else ""
        accepted = f"a number above 0 and at most {MAX_FACTOR:g}"
        raise ConditionError(factor.at, f"a boost by {shown(factor)}", accepted, remedy or "below 1 it demotes")
    return number


def _count(number: Value, what: str) -> int:
    given = number.value if isinstance(number.value, float) else 0.0
    if not (isfinite(given) and given.is_integer() and 1 <= given <= MAX_SLOT):
        remedy = "to leave items out write `exclude where ...`" if what == "cap" and given == 0 else ""
        raise ConditionError(number.at, f"a {what} of {shown(number)}", f"a whole number from 1 to {MAX_SLOT}", remedy)
    return int(given)


def _span(within: Value) -> int:
    length = within.value if isinstance(within.value, timedelta) else timedelta()
    if length <= timedelta():
        raise ConditionError(within.at, f"repeats within {shown(within)}", "a length of time above 0", "")
    return length // timedelta(microseconds=1)
