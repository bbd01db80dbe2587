"""Rules that are good alone and cannot be followed together."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ranking.errors import RuleFault
from ranking.strategy.rules.compiled import CapRule, CompiledRule, FilterRule, PinRule, QuotaRule
from ranking.strategy.rules.syntax import Pin, Quota, Rule


@dataclass(frozen=True)
class Placed:
    """A rule, what it was compiled to, and where it stands. number: from 0. line: from 1."""

    rule: Rule
    compiled: CompiledRule
    number: int
    line: int

    def fault(self, at: int, what: str, remedy: str, *, warning: bool = False) -> RuleFault:
        """A fault in this rule."""
        return RuleFault(self.number, self.line, at, what, remedy=remedy, warning=warning)


def contradictions(rules: Sequence[Placed]) -> tuple[list[RuleFault], list[Placed]]:
    """The faults, and the rules without those that contradict an earlier one."""
    faults: list[RuleFault] = []
    kept: list[Placed] = []
    for one in rules:
        found = _against(one, kept)
        faults += found
        if all(fault.warning for fault in found):
            kept.append(one)
    return faults, kept


def _against(one: Placed, earlier: Sequence[Placed]) -> list[RuleFault]:
    compiled, sentence = one.compiled, one.rule.sentence
    faults: list[RuleFault] = []
    for other in earlier:
        if isinstance(compiled, PinRule) and isinstance(other.compiled, PinRule) and isinstance(sentence, Pin):
            faults += _pins(one, sentence, compiled, other)
        if isinstance(compiled, QuotaRule) and isinstance(other.compiled, CapRule):
            faults += _quota_and_cap(one, compiled, other.compiled, other)
        if isinstance(compiled, CapRule) and isinstance(other.compiled, QuotaRule):
            faults += _quota_and_cap(one, other.compiled, compiled, other)
        if isinstance(compiled, PinRule) and isinstance(other.compiled, FilterRule):
            faults += _pin_and_filter(one, compiled, other.compiled)
        if isinstance(compiled, FilterRule) and isinstance(other.compiled, PinRule):
            faults += _pin_and_filter(one, other.compiled, compiled)
    if isinstance(compiled, CapRule | PinRule):
        faults += _pins_and_caps(one, earlier)
    return faults


def _pins(one: Placed, sentence: Pin, pin: PinRule, other: Placed) -> list[RuleFault]:
    assert isinstance(other.compiled, PinRule)
    if pin.slot == other.compiled.slot and pin.item != other.compiled.item:
        what = f"slot {pin.slot} is taken by {other.rule.text!r}"
        return [one.fault(sentence.slot.at, what, "give it another slot")]
    if pin.slot != other.compiled.slot and pin.item == other.compiled.item:
        what = f"the item stands in slot {other.compiled.slot} by {other.rule.text!r}"
        return [one.fault(sentence.item.at, what, "leave one of them out")]
    return []


def _quota_and_cap(one: Placed, quota: QuotaRule, cap: CapRule, other: Placed) -> list[RuleFault]:
    """one: the later of both rules."""
    if cap.column.name != quota.column.name or cap.code not in (None, quota.code) or quota.least <= cap.most:
        return []
    sentence = one.rule.sentence
    at = sentence.least.at if isinstance(sentence, Quota) else 1
    what = f"at least {quota.least} and at most {cap.most} of the same, by {other.rule.text!r}"
    return [one.fault(at, what, "lower the quota or raise the cap")]


def _pin_and_filter(one: Placed, pin: PinRule, kept: FilterRule) -> list[RuleFault]:
    """A warning, as stock and conditions change; by the moment they are not asked."""
    if callable(kept.mask) or kept.mask[pin.item]:
        return []
    what = f"{pin.text!r} pins what {kept.text!r} leaves out"
    return [one.fault(1, what, "the item is not shown: leave one of them out", warning=True)]


def _pins_and_caps(one: Placed, earlier: Sequence[Placed]) -> list[RuleFault]:
    """Pins alone that exceed a cap, as seen at the rule that makes it so."""
    rules = [other.compiled for other in (*earlier, one)]
    pins = {rule.item for rule in rules if isinstance(rule, PinRule)}
    caps = [rule for rule in rules if isinstance(rule, CapRule)]
    counted = {
        column.name: Counter(code for item in pins for code in column.values_of(item).tolist())
        for column in {cap.column.name: cap.column for cap in caps}.values()
    }
    for cap in caps:
        counts = counted[cap.column.name]
        over = [code for code in (counts if cap.code is None else [cap.code]) if counts[code] > cap.most]
        if over:
            what = f"{counts[over[0]]} pinned items with {cap.column.name} {cap.column.labels[over[0]]!r}"
            return [one.fault(1, f"{what}, of which {cap.text!r} allows {cap.most}", "raise the cap, or pin fewer")]
    return []
