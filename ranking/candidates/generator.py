"""What every candidate generator is: fitted on interactions, it scores all items for a batch of queries."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.types import UNKNOWN, Bools, Codes, Floats, Interactions, Queries

NOT_OFFERED = -np.inf


class Generator(ABC):
    """Scores come from a query's history, moment and surroundings, never from a user's code alone.

    So a new event or an anonymous session counts at once, and a batch scores as its single queries do. A history
    without any usable event is answered by popularity and cold start alone; the others offer nothing for it.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, train: Interactions) -> Self:
        """Learn from `train` alone; nothing else that lies in time after it may be read."""

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores float32 [q, n_items], higher is better; `NOT_OFFERED` where the generator has no opinion."""

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
    return np.where(offered, scores, NOT_OFFERED).astype(np.float32, copy=False)


def only_known(profiles: sparse.csr_matrix, known: Bools) -> sparse.csr_matrix:
    """The columns of some items, bool [n_items]; as `profiles[:, known]`, without going through all columns."""
    if known.all():
        return profiles
    place = np.cumsum(known) - 1
    kept = known[profiles.indices]
    indptr = np.append(0, np.cumsum(kept))[profiles.indptr]
    columns = place[profiles.indices[kept]]
    return sparse.csr_matrix((profiles.data[kept], columns, indptr), (profiles.shape[0], int(place[-1]) + 1))


def top_k(scores: Floats, k: int) -> tuple[Codes, Floats]:
    """The k best items of each row, best first, ties by item code: codes int32 [q, k] and scores [q, k].

    Rows with fewer than k offered items are filled with `UNKNOWN` and `NOT_OFFERED`; k is at most n_items.
    """
    keys = _ascending_keys(scores)
    k = min(k, scores.shape[1])
    if 0 < k < scores.shape[1]:
        keys.partition(k - 1, axis=1)
    codes = _codes_of(np.sort(keys[:, :k], axis=1))
    best = np.take_along_axis(scores, codes, axis=1)
    return np.where(np.isneginf(best), UNKNOWN, codes).astype(np.int32), best


def ranks(scores: Floats, depth: int | None = None) -> Codes:
    """Each item's place in its row, 1 the best, ties by item code, int32 [q, n_items]; 0 where not offered.

    depth: places beyond it are 0 too; finding the first tenth of 20,000 takes a quarter of the time of sorting all.
    """
    keys = _ascending_keys(scores)
    if depth is not None and depth < scores.shape[1]:
        keys.partition(depth, axis=1)
        keys = keys[:, :depth]
    codes = _codes_of(np.sort(keys, axis=1))
    place = np.arange(1, codes.shape[1] + 1, dtype=np.int32)
    places = np.zeros(scores.shape, np.int32)
    np.put_along_axis(places, codes, np.where(np.isneginf(np.take_along_axis(scores, codes, axis=1)), 0, place), axis=1)
    return places


def _ascending_keys(scores: Floats) -> npt.NDArray[np.int64]:
    """Integers that sort as (descending score, ascending code) and carry the code in their lower half.

    Sorting distinct integers is three times faster than a stable sort of floats, and a partition of them breaks ties.
    """
    bits = (scores + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
    ordered = bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF))  # IEEE 754: as integers, in the order of the floats
    return (~ordered.astype(np.int64) << 32) | np.arange(scores.shape[1])


def _codes_of(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return keys & 0xFFFFFFFF
