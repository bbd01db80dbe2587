"""Which events of a history speak for an item."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ranking.candidates.generator import Generator, ItemToItem
from ranking.types import Codes, Floats, Queries

LOOKED_AT: Final = 30  # latest liked events among which those that speak most for an item are looked for
BY_BEHAVIOUR: Final = 2  # pieces of evidence that a collaborative model gives, at most
NEAR: Final = 0.1  # cosine in the aligned space that content must have to be evidence

SPEAKERS: Final = ("ease_positive", "ease", "item_knn")  # collaborative models that can say what one thing says

BEHAVIOUR: Final = "behaviour"
CONTENT: Final = "content"


@dataclass(frozen=True)
class Piece:
    """One event that speaks for an item. place: in the query's history.

    by: `BEHAVIOUR`, score: what the first collaborative model would give the item for this event alone; or `CONTENT`,
    score: the cosine of both in the aligned space.
    """

    place: int
    by: str
    score: float


class Evidence:
    """What the first query's history says of items. vectors: float32 [n_items, d], the aligned space."""

    def __init__(self, generators: Sequence[Generator], query: Queries, vectors: Floats) -> None:
        self._places = np.flatnonzero(query.positive)[-LOOKED_AT:]
        self._liked: Codes = query.item[self._places]
        self._generators, self._vectors = generators, vectors

    def of(self, item: int) -> list[Piece]:
        """The events that speak most for an item, behaviour before content; of equal ones the later first."""
        said = said_of(self._generators, self._liked, np.array([item], np.int32))
        found = self._best(said[:, 0], BEHAVIOUR, BY_BEHAVIOUR, above=0.0)
        near = self._vectors[self._liked] @ self._vectors[item]
        near[np.isin(self._places, [one.place for one in found])] = -np.inf
        return found + self._best(near, CONTENT, 1, above=NEAR)

    def _best(self, scores: Floats, by: str, count: int, *, above: float) -> list[Piece]:
        order = len(scores) - 1 - np.argsort(-scores[::-1], kind="stable")
        best = [one for one in order[:count].tolist() if scores[one] > above]
        return [Piece(int(self._places[one]), by, float(scores[one])) for one in best]


def said_of(generators: Sequence[Generator], liked: Codes, items: Codes) -> Floats:
    """What the first collaborative model says of items for each liked thing alone, float32 [liked, items].

    No rows without such a model, or anything liked.
    """
    model = next((one for one in generators if one.name in SPEAKERS and isinstance(one, ItemToItem)), None)
    if model is None or not len(liked):
        return np.empty((0, len(items)), np.float32)
    return model.between(liked, items)
