"""What every candidate generator is: fitted on interactions, it scores items for a batch of queries."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ranking.kernels import ascending_keys, offered_keys, set_places
from ranking.types import UNKNOWN, Bools, Codes, Floats, Interactions, Queries

Places = npt.NDArray[np.int64]

NOT_OFFERED = -np.inf

Scalar = TypeVar("Scalar", bound=np.generic)

_NOTHING: Final = np.float32(NOT_OFFERED)
_CODE: Final = 0xFFFFFFFF  # the part of a key that holds it
_NOT_OFFERED_KEY: Final = 0x7F800000 << 32  # where those of minus infinity begin


class Generator(ABC):
    """Scores come from a query's history, moment and surroundings, never from a user's code alone.

    So a new event or an anonymous session counts at once, and a batch scores as its single queries do. A history
    without any usable event is answered by popularity and cold start alone; the others offer nothing for it.
    """

    name: ClassVar[str]
    only: Bools | None = None  # [n_items], the only items that it ever offers

    @abstractmethod
    def fit(self, train: Interactions) -> Self:
        """Learn from `train` alone; nothing else that lies in time after it may be read."""

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores float32 [q, n_items], higher is better; `NOT_OFFERED` where the generator has no opinion."""

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items alone, float32 [q, m]; items: int32 [m], ascending codes.

        A model that standardises over what it offers does so among these.
        """
        return self.score(queries)[:, items]

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """About its k best offered items for one query, in no order, int64 [at most k]; offered: bool [n_items].

        None: not without scoring everything; it scores what others find (`shortlist`).
        """
        return None

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing, empty folder (safetensors and JSON)."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""


class ItemToItem(Generator):
    """A generator that is linear in the history: every event adds what its item says of each other one."""

    @abstractmethod
    def between(self, sources: Codes, targets: Codes) -> Floats:
        """What an event of weight 1 with each source adds to each target's score, float32 [s, t]; 0 for nothing."""


def offer_only(offered: Bools, scores: npt.NDArray[np.floating]) -> Floats:
    """Scores float32 [q, n_items] with `NOT_OFFERED` where `offered`, of a shape that broadcasts, is false."""
    return np.where(offered, np.asarray(scores, np.float32), _NOTHING)


def top_k(scores: Floats, k: int) -> tuple[Codes, Floats]:
    """The k best items of each row, best first, ties by item code: codes int32 [q, k] and scores [q, k].

    Rows with fewer than k offered items are filled with `UNKNOWN` and `NOT_OFFERED`; k is at most n_items.
    """
    keys = _first_keys(scores, k)
    codes = keys & _CODE
    return np.where(keys < _NOT_OFFERED_KEY, codes, UNKNOWN).astype(np.int32), at_columns(scores, codes)


def at_columns(rows: npt.NDArray[Scalar], columns: npt.NDArray[np.integer]) -> npt.NDArray[Scalar]:
    """Of each row of [q, n] what stands at some columns [q, k]: np.take_along_axis, whose index takes long to make."""
    return np.asarray(rows.take(columns + np.arange(len(rows))[:, None] * rows.shape[1]))


def ranks(scores: Floats, depth: int | None = None) -> Codes:
    """Each item's place in its row, 1 the best, ties by item code, int32 [q, n_items]; 0 where not offered.

    depth: places beyond it are 0 too; finding the first tenth of 20,000 takes a quarter of the time of sorting all.
    """
    places = np.zeros(scores.shape, np.int32)
    set_places(places, _first_keys(scores, scores.shape[1] if depth is None else depth), _NOT_OFFERED_KEY)
    return places


def first_codes(scores: Floats, offered: Bools, k: int) -> Places:
    """The k best offered ones of [n] scores, or all that are offered, ties by code; in no order, int64 [at most k]."""
    return first_of(offered_keys(scores, offered), k)


def first_of(keys: Places, k: int) -> Places:
    """Codes of the k least of some `ascending_keys`, those of minus infinity left out; in no order."""
    if 0 < k < len(keys):
        keys.partition(k - 1)
    keys = keys[:k]
    return keys[keys < _NOT_OFFERED_KEY] & _CODE


def in_order(scores: Floats) -> Places:
    """Codes of [n] scores, best first, ties by code; those that are not offered are left out."""
    keys = np.sort(offered_keys(scores, np.ones(len(scores), bool)))
    return keys[keys < _NOT_OFFERED_KEY] & _CODE


def first_in(order: npt.NDArray[np.integer], offered: Bools, k: int) -> Places:
    """The first k offered codes of an order, or all, int64 [at most k]; where many are offered little of it is read."""
    size = 2 * k
    while True:
        found = order[:size]
        found = found[offered[found]]
        if len(found) >= k or size >= len(order):
            return np.asarray(found[:k], np.int64)
        size *= 4


def _first_keys(scores: Floats, k: int) -> npt.NDArray[np.int64]:
    """`ascending_keys` of the k best of each row, in their order.

    Sorting distinct integers is three times faster than a stable sort of floats. A partition of them breaks ties; one
    of floats takes ten times as long where many are equal, as they are of what is not offered.
    """
    keys = ascending_keys(np.ascontiguousarray(scores, np.float32))
    k = min(k, keys.shape[1])
    if 0 < k < keys.shape[1]:
        keys.partition(k - 1, axis=1)
    return np.sort(keys[:, :k], axis=1)
