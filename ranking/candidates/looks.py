"""What the generators say of the items that may answer: of all of them, or of each query's shortlist."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from ranking.candidates.generator import NOT_OFFERED, Generator, ranks
from ranking.candidates.shortlist import DEFAULT, ShortlistConfig, shortlist
from ranking.types import Bools, Codes, Floats, Queries, Times

DEPTH: Final = 2_000  # places of a generator that count: what lies deeper adds a thirtieth of a first place
BATCH: Final = 128  # queries that are scored whole at one time: 128 x 10,000 items x 17 x 12 bytes = 260 MB


@dataclass(frozen=True)
class Look:
    """What g generators say of m items to q queries: of a shortlist to one, or of all items to a batch.

    items: int32 [m], ascending codes; None for all. scores: float32 [g, q, m], `NOT_OFFERED` for what may not appear.
    places: int32 [g, q, m], `ranks` by them, of the first `DEPTH`.
    """

    generators: tuple[str, ...]
    items: Codes | None
    scores: Floats
    places: Codes

    @classmethod
    def of(cls, scores: Mapping[str, Floats], offered: Bools, items: Codes | None = None) -> Self:
        """From each generator's scores [q, m], of which those offered count, bool [q, m]."""
        said = np.concatenate(list(scores.values()), dtype=np.float32)
        stacked = said.reshape(len(scores), *offered.shape)
        np.copyto(stacked, NOT_OFFERED, where=~offered)
        if len(offered) == 1:
            return cls(tuple(scores), items, stacked, ranks(stacked[:, 0], DEPTH)[:, None])  # all in one go
        places = np.stack([ranks(one, DEPTH) for one in stacked])
        return cls(tuple(scores), items, stacked, places)

    def __len__(self) -> int:
        return len(self.places[0])

    def everywhere(self, n_items: int) -> Codes:
        """Places of all items, int32 [g, q, n_items]; 0 for those that were not looked at."""
        if self.items is None:
            return self.places
        found = np.zeros((*self.places.shape[:2], n_items), np.int32)
        found[:, :, self.items] = self.places
        return found


def looks(
    generators: Sequence[Generator],
    queries: Queries,
    *,
    created_at: Times,
    allowed: Bools | None = None,
    named: Codes | None = None,
    config: ShortlistConfig = DEFAULT,
    batch: int = BATCH,
) -> Iterator[Look]:
    """What the generators say to each batch in turn; arguments as in `union.retrieve`."""
    whole = queries.n_items <= config.whole
    batch = batch if whole else 1
    for start in range(0, max(len(queries), 1), batch):
        some = queries if len(queries) <= batch else queries.rows(start, min(start + batch, len(queries)))
        offered = eligible(some, created_at, allowed)
        if named is not None:
            offered[:, named] = True
        if whole or not len(some):
            yield Look.of({one.name: one.score(some) for one in generators}, offered)
            continue
        items = shortlist(generators, some, offered[0], config)
        if named is not None:
            items = np.union1d(items, named).astype(np.int32)
        yield Look.of({one.name: one.score_some(some, items) for one in generators}, offered[:, items], items)


def eligible(queries: Queries, created_at: Times, allowed: Bools | None = None) -> Bools:
    """Which items may answer each query, bool [q, n_items]: there before it, not in its history, and allowed."""
    offered = queries.after(created_at)
    offered[queries.row, queries.item] = False
    return offered if allowed is None else offered & allowed
