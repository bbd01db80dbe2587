"""From candidates' scores to the slots of a page, under pins, caps, quotas, boosts, variety and chance."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ranking.strategy.allotment import Allotment, placed
from ranking.strategy.diversity import Relevance
from ranking.strategy.exploration import Best, Draws
from ranking.strategy.rules.compiled import PinRule, QuotaRule, RuleSet
from ranking.types import UNKNOWN, Bools, Codes

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """What a page is filled from.

    item: int32 [n], candidates in the ranker's order. score: float64 [n], with what weights and boosts add. boosted:
    for each boost of the rules which candidates it lifts, bool [n]. met: float64 [n], how often anybody met each item.
    allowed: bool [n_items], what may be pinned. spare: further items, best first, for slots that no candidate may take.
    only: bool [n_items], what may be shown at all; None for everything.
    """

    item: Codes
    score: Values
    boosted: list[Bools]
    met: Values
    allowed: Bools
    spare: Callable[[], Codes]
    only: Bools | None = None


@dataclass(frozen=True)
class Seat:
    """One slot. rules: what brought the item here.

    place: where it stands in the pool, `UNKNOWN` if it is not of it. score: the pool's; its least for such an item.
    """

    item: int
    place: int
    score: float
    propensity: float
    rules: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """seats: best first, at most k. notes: what became of rules that no single item tells of."""

    seats: list[Seat]
    notes: list[str]


def arrange(pool: Pool, rules: RuleSet, *, k: int, relevance: Callable[[], Relevance], draws: Draws) -> Page:
    """The page of k slots; shorter only where no item that is allowed is left for a slot.

    Slots are filled one by one with the most valuable candidate that caps leave, or with what `draws` draws. When as
    many slots are left as quotas miss, only what they want may come. Where that ends short of a quota, as caps were
    used up by other items, and seating its items first does better, they are seated first, in the last slots.

    relevance: a fresh state of the candidates' values.
    """
    if rules.quotas:
        first = _Filling(pool, rules, k, relevance(), reserve=False)
        page, short = first.fill(Best()), first.allotment.missing
        if short:
            reserving = _Filling(pool, rules, k, relevance(), reserve=True)
            if reserving.allotment.missing < short:
                return reserving.fill(draws)
        if isinstance(draws, Best):
            return page
    return _Filling(pool, rules, k, relevance(), reserve=False).fill(draws)


class _Filling:
    """A page under way."""

    def __init__(self, pool: Pool, rules: RuleSet, k: int, relevance: Relevance, *, reserve: bool) -> None:
        self.allotment = Allotment(rules, len(pool.allowed), k=k)
        if pool.only is not None:
            self.allotment.full |= ~pool.only
        self._pool, self._rules, self._k = pool, rules, k
        self._relevance = relevance
        self._pins, self._notes = placed(rules.pins, pool.allowed, self.allotment, k=k)
        self._reserved: dict[int, tuple[int, QuotaRule]] = {}
        if reserve:
            best_first = pool.item[np.argsort(-pool.score, kind="stable")]
            found = self.allotment.reserve(best_first)
            open_slots = [slot for slot in range(1, k + 1) if slot not in self._pins]
            self._reserved = dict(zip(open_slots[len(open_slots) - len(found) :], found, strict=True))
        for item in (*(pin.item for pin in self._pins.values()), *(item for item, _ in self._reserved.values())):
            relevance.take(item)

    def fill(self, draws: Draws) -> Page:
        """All slots."""
        seats: list[Seat] = []
        for slot in range(1, self._k + 1):
            seat = self._fixed(slot, len(seats) + 1) or self._drawn(draws, len(seats) + 1) or self._spare()
            if seat is not None:
                seats.append(seat)
        notes = [*self._notes, *self.allotment.reached(), *self.allotment.shortfalls()]
        return Page(seats, notes)

    def _fixed(self, slot: int, rank: int) -> Seat | None:
        if slot in self._pins:
            pin = self._pins[slot]
            return self._seat(pin.item, self._place(pin.item), 1.0, rank, pin)
        if slot in self._reserved:
            item, quota = self._reserved[slot]
            return self._seat(item, self._place(item), 1.0, rank, quota)
        return None

    def _drawn(self, draws: Draws, rank: int) -> Seat | None:
        due, quota = self.allotment.due(self._pool.item, self.allotment.free(self._pool.item))
        rows = np.flatnonzero(due)
        if not len(rows):
            return None
        values = self._relevance.values()[rows]
        drawn = draws.draw(values, self._pool.met[rows])
        place = int(rows[drawn.index])
        item = int(self._pool.item[place])
        self._took(item)
        seat = self._seat(item, place, drawn.propensity, rank, quota)
        if drawn.propensity < 1 and values[drawn.index] < values.max():
            seat.rules.append(f"exploration: drawn, {_moved(place, rank)}")
        return seat

    def _spare(self) -> Seat | None:
        spare = self._pool.spare()
        free = self.allotment.free(spare)
        if not free.any():
            return None
        item = int(spare[np.argmax(free)])
        self._took(item)
        return Seat(item, UNKNOWN, self._score(UNKNOWN), 1.0, ["no generator found it; the rules leave too few others"])

    def _took(self, item: int) -> None:
        self.allotment.take(item)
        self._relevance.take(item)

    def _seat(self, item: int, place: int, propensity: float, rank: int, by: PinRule | QuotaRule | None) -> Seat:
        told = [] if by is None else [by.text]
        if place != UNKNOWN:
            told += [
                rule.text for rule, mask in zip(self._rules.boosts, self._pool.boosted, strict=True) if mask[place]
            ]
        return Seat(item, place, self._score(place), propensity, [f"{text}: {_moved(place, rank)}" for text in told])

    def _score(self, place: int) -> float:
        scores = self._pool.score
        if place != UNKNOWN:
            return float(scores[place])
        return float(scores.min()) if len(scores) else 0.0

    def _place(self, item: int) -> int:
        found = np.flatnonzero(self._pool.item == item)
        return int(found[0]) if len(found) else UNKNOWN


def _moved(place: int, rank: int) -> str:
    """From the ranker's place, from 0, to the page's, from 1."""
    if place == UNKNOWN:
        return f"no candidate, now at {rank}"
    return f"from {place + 1} to {rank}" if place + 1 != rank else f"at {rank} as before"
