"""What pins, caps and quotas leave open while a page fills, slot by slot."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from ranking.strategy.rules.compiled import CapRule, PinRule, QuotaRule, RuleSet
from ranking.types import Bools, Codes


class Allotment:
    """The state of one page. Caps are exact; quotas are met as far as there are items that caps let through.

    Args:
        rules: of the request.
        n_items: of the release.
        k: slots of the page.
    """

    def __init__(self, rules: RuleSet, n_items: int, *, k: int) -> None:
        self._caps, self._quotas = rules.caps, rules.quotas
        self._counts = [Counter[int]() for _ in rules.caps]
        self.shown = np.zeros(n_items, bool)
        self.full = np.zeros(n_items, bool)  # what a cap keeps out
        self._open = k
        self._missing = [quota.least for quota in rules.quotas]

    def take(self, item: int) -> None:
        """An item has come onto the page."""
        self.shown[item] = True
        self._open -= 1
        for cap, counts in zip(self._caps, self._counts, strict=True):
            for code in _counted(cap, item):
                counts[code] += 1
                if counts[code] == cap.most:
                    self.full[cap.column.having(code)] = True
        for place, quota in enumerate(self._quotas):
            if quota.mask[item]:
                self._missing[place] = max(self._missing[place] - 1, 0)

    def free(self, items: Codes) -> Bools:
        """Which of some items may still come, bool [n]."""
        return np.asarray(~(self.shown[items] | self.full[items]))

    def due(self, items: Codes, free: Bools) -> tuple[Bools, QuotaRule | None]:
        """Which of the free items may come next, so that quotas are met, and the quota that says so, if one does.

        While more slots are open than quotas miss, all may. Else those that the most of these quotas want.
        """
        wanted: list[Bools] = []
        owed: list[QuotaRule] = []
        needed = 0
        for quota, missing in zip(self._quotas, self._missing, strict=True):
            mine = quota.mask[items] & free
            if missing and mine.any():
                wanted.append(mine)
                owed.append(quota)
                needed += min(missing, int(mine.sum()))
        if not owed or needed < self._open:
            return free, None
        counts = np.sum(wanted, axis=0)
        chosen = (counts == counts.max()) & free
        return chosen, next(quota for quota, mine in zip(owed, wanted, strict=True) if mine[chosen].any())

    def reserve(self, items: Codes) -> list[tuple[int, QuotaRule]]:
        """Items for the quotas, the first ones that caps let through; they are taken. items: best first."""
        found = []
        for place, quota in enumerate(self._quotas):
            mine = items[quota.mask[items]]
            while self._missing[place] and self._open and self.free(mine).any():
                item = int(mine[np.argmax(self.free(mine))])
                self.take(item)
                found.append((item, quota))
        return found

    @property
    def missing(self) -> int:
        """Items that the quotas miss, in all."""
        return sum(self._missing)

    def reached(self) -> list[str]:
        """Which caps were reached, and by which values."""
        return [
            f"{cap.text}: reached by " + ", ".join(str(cap.column.labels[code]) for code in codes)
            for cap, counts in zip(self._caps, self._counts, strict=True)
            if (codes := [code for code, count in counts.items() if count >= cap.most])
        ]

    def shortfalls(self) -> list[str]:
        """What became of the quotas that are not met."""
        return [
            f"{quota.text}: {quota.least - missing} of {quota.least}; no further candidate fits"
            for quota, missing in zip(self._quotas, self._missing, strict=True)
            if missing
        ]


def placed(
    pins: Sequence[PinRule], allowed: Bools, allotment: Allotment, *, k: int
) -> tuple[Mapping[int, PinRule], list[str]]:
    """The pins by slot, from 1, that can be followed, and why the others cannot. The first of a slot gets it."""
    seated: dict[int, PinRule] = {}
    notes = []
    for pin in pins:
        if pin.slot > k:
            reason = f"the page has {k} slots"
        elif not allowed[pin.item]:
            reason = "another rule leaves the item out, or it does not exist yet"
        elif pin.slot in seated:
            reason = f"slot {pin.slot} is taken by {seated[pin.slot].text}"
        elif allotment.shown[pin.item]:
            reason = "another pin shows the item"
        elif allotment.full[pin.item]:
            reason = "a cap is reached by other pins"
        else:
            seated[pin.slot] = pin
            allotment.take(pin.item)
            continue
        notes.append(f"{pin.text}: not followed, {reason}")
    return seated, notes


def _counted(cap: CapRule, item: int) -> list[int]:
    codes: list[int] = cap.column.values_of(item).tolist()
    return codes if cap.code is None else [code for code in codes if code == cap.code]
