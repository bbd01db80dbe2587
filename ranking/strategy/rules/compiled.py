"""Rules as a request applies them: masks over a release's items, codes and numbers. text: the rule as written."""

from dataclasses import dataclass
from typing import TypeAlias

from ranking.strategy.rules.columns import ItemColumn
from ranking.strategy.rules.conditions import Mask
from ranking.types import Bools


@dataclass(frozen=True)
class FilterRule:
    """mask: the items that stay."""

    text: str
    mask: Mask


@dataclass(frozen=True)
class BoostRule:
    """mask: the items whose score grows by `add` deviations of the slate's scores."""

    text: str
    mask: Mask
    add: float


@dataclass(frozen=True)
class PinRule:
    """The item of this code stands in this slot, from 1."""

    text: str
    item: int
    slot: int


@dataclass(frozen=True)
class CapRule:
    """At most so many items a page with each value of the column, or with that of one code."""

    text: str
    column: ItemColumn
    code: int | None
    most: int


@dataclass(frozen=True)
class QuotaRule:
    """At least so many items a page with the column's value of a code. mask: the items that have it."""

    text: str
    column: ItemColumn
    code: int
    least: int
    mask: Bools


@dataclass(frozen=True)
class RepeatRule:
    """Nothing that the user met or was shown within so many microseconds."""

    text: str
    within: int


CompiledRule: TypeAlias = FilterRule | BoostRule | PinRule | CapRule | QuotaRule | RepeatRule


@dataclass(frozen=True)
class RuleSet:
    """The rules of a request. Where pins want one slot, the earlier one gets it.

    idle: texts of rules that no item can meet: they do nothing but are told of.
    """

    filters: tuple[FilterRule, ...] = ()
    boosts: tuple[BoostRule, ...] = ()
    pins: tuple[PinRule, ...] = ()
    caps: tuple[CapRule, ...] = ()
    quotas: tuple[QuotaRule, ...] = ()
    repeats: tuple[RepeatRule, ...] = ()
    idle: tuple[str, ...] = ()

    @classmethod
    def of(cls, rules: list[CompiledRule], idle: list[str]) -> "RuleSet":
        """By kind, each in the order given."""
        return cls(
            tuple(one for one in rules if isinstance(one, FilterRule)),
            tuple(one for one in rules if isinstance(one, BoostRule)),
            tuple(one for one in rules if isinstance(one, PinRule)),
            tuple(one for one in rules if isinstance(one, CapRule)),
            tuple(one for one in rules if isinstance(one, QuotaRule)),
            tuple(one for one in rules if isinstance(one, RepeatRule)),
            tuple(idle),
        )

    def then(self, others: "RuleSet") -> "RuleSet":
        """Both, these first."""
        return RuleSet(
            self.filters + others.filters,
            self.boosts + others.boosts,
            self.pins + others.pins,
            self.caps + others.caps,
            self.quotas + others.quotas,
            self.repeats + others.repeats,
            self.idle + others.idle,
        )

    def __bool__(self) -> bool:
        return self != NO_RULES


NO_RULES = RuleSet()
