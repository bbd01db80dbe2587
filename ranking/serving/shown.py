"""The items of a page as they are sent: where each was found, and why it is there."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ranking.candidates.candidates import Source as Found
from ranking.serving.catalogue import Catalogue
from ranking.serving.made import Made
from ranking.serving.payloads import Recommended, Source
from ranking.serving.reasons import by_contribution, by_provenance
from ranking.serving.sought import QUERY
from ranking.strategy.arrange import Seat
from ranking.strategy.hybrid import Hybrid
from ranking.types import UNKNOWN, Codes

RULED: Final = "put here by a rule"  # why an item is there that no generator found
NAMED: Final = "asked for; no generator finds it for this user"


def shown(hybrid: Hybrid, catalogue: Catalogue, made: Made) -> list[Recommended]:
    """The page's items, in the order of their seats."""
    seats, asked = made.page.seats, made.asked
    sources = _sources(made, np.array([seat.item for seat in seats], np.int32))
    reasons = [_why(made, seat, found) for seat, found in zip(seats, sources, strict=True)]
    if asked.request.explain and made.slates is not None:
        ranked = [place for place, seat in enumerate(seats) if seat.place != UNKNOWN]
        rows = np.array([made.order.place[seats[place].place] for place in ranked], np.int64)
        for place, told in zip(ranked, by_contribution(hybrid, catalogue, asked.query, made.slates, rows), strict=True):
            reasons[place] = [*told, *(one for one in reasons[place] if one not in told)]
    return [
        Recommended(
            item_id=catalogue.index.ids[seat.item],
            rank=rank,
            score=seat.score,
            propensity=seat.propensity,
            title=catalogue.titles[seat.item],
            image=catalogue.images[seat.item],
            sources=[Source(*one) for one in found],
            reasons=why,
            rules=seat.rules,
        )
        for rank, (seat, found, why) in enumerate(zip(seats, sources, reasons, strict=True), 1)
    ]


def _sources(made: Made, items: Codes) -> list[list[Found]]:
    """Who found each item, best place first; the query among them, where the item lies near it."""
    sources, sought = made.candidates.sources(0, items), made.asked.sought
    if sought is None:
        return sources
    near = {item: Found(QUERY, rank, float(sought.cosine[item])) for rank, item in enumerate(made.near.tolist(), 1)}
    return [
        sorted([*found, near[item]], key=lambda one: one.rank) if item in near else found
        for item, found in zip(items.tolist(), sources, strict=True)
    ]


def _why(made: Made, seat: Seat, found: Sequence[Found]) -> list[str]:
    """In short."""
    if seat.place == UNKNOWN:
        return [RULED]
    return [NAMED] if made.asked.named is not None and not found else by_provenance(found)
