"""The answers that were given lately: who was shown what, where, and what it takes to make an answer again."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import pyarrow as pa

from ranking.serving.payloads import Asker
from ranking.types import Floats

VECTOR_BYTES: Final = 64_000_000  # of what rankers were given; about 500 answers from 200 candidates


@dataclass(frozen=True)
class Place:
    """Where an item stood in an answer. rank: from 1."""

    rank: int
    score: float
    propensity: float


@dataclass(frozen=True)
class Given:
    """An answer that was given. now: what it knew of had happened before. history: so many events of the asker.

    items: where each stood, by id, best first. vector: float32 [d], where its query lay, which is not kept.
    """

    request_id: str
    request: Asker
    now: datetime
    release: str
    history: int
    items: Mapping[str, Place]
    vector: Floats | None = None


class Answers:
    """The latest ones, in memory; any number of threads.

    Args:
        size: so many at most; the oldest are forgotten first.
        vector_bytes: so much at most of what rankers were given for them.
    """

    def __init__(self, size: int, *, vector_bytes: int = VECTOR_BYTES) -> None:
        self.size = size
        self._vector_bytes = vector_bytes
        self._given: OrderedDict[str, Given] = OrderedDict()
        self._vectors: OrderedDict[str, pa.Table] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._given)

    @property
    def vector_bytes(self) -> int:
        """Held of what rankers were given."""
        return self._held

    def keep(self, given: Given, vectors: pa.Table | None) -> None:
        """Remember an answer. vectors: rows that its ranker was given."""
        with self._lock:
            self._given[given.request_id] = given
            if vectors is not None:
                self._vectors[given.request_id] = vectors
                self._held += vectors.get_total_buffer_size()  # at a hundredth of the time of `nbytes`
            while len(self._given) > self.size:
                request_id, _ = self._given.popitem(last=False)
                forgotten = self._vectors.pop(request_id, None)
                self._held -= 0 if forgotten is None else forgotten.get_total_buffer_size()
            while self._held > self._vector_bytes:
                self._held -= self._vectors.popitem(last=False)[1].get_total_buffer_size()

    def of(self, request_id: str) -> Given | None:
        """The answer to a request; None where it is not remembered."""
        return self._given.get(request_id)

    def vectors(self, request_id: str) -> pa.Table | None:
        """What its ranker was given; None where that is not held."""
        return self._vectors.get(request_id)
