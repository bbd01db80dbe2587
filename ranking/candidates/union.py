"""The union of what the generators find."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED, Generator, at_columns, offer_only, ranks, top_k
from ranking.candidates.looks import BATCH, DEPTH, Look, eligible, looks
from ranking.candidates.shortlist import DEFAULT, ShortlistConfig
from ranking.kernels import add_votes, gather_places, set_merit
from ranking.types import UNKNOWN, Bools, Codes, Floats, Queries, Times

RESERVED_VOTE: Final = 1e-3  # the worst place among 50,000 items still outvotes a reserved generator's best
RRF_K: Final = 60  # Cormack et al. 2009; 60 had the best recall@200 on both MovieLens sets' validation windows

Votes: TypeAlias = npt.NDArray[np.float64]
Watch: TypeAlias = Callable[[npt.NDArray[np.int64], Mapping[str, Codes], Mapping[str, int], Codes | None], None]
"""Is shown rows of the queries, each generator's places of items [rows, m], who has reserved ones, and the items, int32
[m], ascending; None for all."""


_VOTES: Final = np.append(0, 1 / (RRF_K + np.arange(1, DEPTH + 1)))  # by place
_RESERVED_VOTES: Final = RESERVED_VOTE * _VOTES


def nobody(
    rows: npt.NDArray[np.int64], places: Mapping[str, Codes], reserved: Mapping[str, int], items: Codes | None
) -> None:
    """Does not look."""


def retrieve(
    generators: Sequence[Generator],
    queries: Queries,
    *,
    k: int,
    created_at: Times,
    reserved: Mapping[str, int] | None = None,
    allowed: Bools | None = None,
    named: Codes | None = None,
    watch: Watch = nobody,
    config: ShortlistConfig = DEFAULT,
    batch: int = BATCH,
) -> Candidates:
    """Score all generators and unite them, `batch` queries at a time; arguments as in `union`.

    Of a catalogue of more items than `config` has looked at whole, each query's `shortlist` alone is scored.
    An item of the history and one that did not exist before `as_of` (`created_at`: int64 [n_items]) never appears.
    allowed: bool [n_items], the only items that may appear; None allows all. Places are counted among what may.
    named: int32 [m], distinct items that join the k candidates of every query, whatever is said of them, seen or not.
    watch: is shown every batch as `Watch` says.
    """
    parts = []
    start = 0
    for look in looks(
        generators, queries, created_at=created_at, allowed=allowed, named=named, config=config, batch=batch
    ):
        if watch is not nobody:
            places = dict(zip(look.generators, look.places, strict=True))
            watch(np.arange(start, start + len(look)), places, reserved or {}, look.items)
        parts.append(_united(look, k=k, reserved=reserved or {}, named=named))
        start += len(look)
    return Candidates.stacked(parts)


def union(
    scores: Mapping[str, Floats], allowed: Bools, *, k: int, reserved: Mapping[str, int] | None = None
) -> Candidates:
    """Merge generators' scores [q, n_items] by weighted reciprocal rank fusion, k candidates a query.

    fused = sum over generators of vote / (RRF_K + rank). allowed: bool [q, n_items]; other items never appear.
    reserved: generator -> so many of its best are candidates whatever the others say. Such a generator has next to no
    vote, as equal votes of popularity or content push out better items; it fills the places that others leave empty.
    """
    return _united(Look.of(scores, allowed), k=k, reserved=reserved or {})


def fuse(generators: Sequence[str], places: Codes, reserved: Mapping[str, int]) -> tuple[Votes, Floats]:
    """Fused value [q, n] of every item, 0 where nobody offers it, and its merit: the most of it makes candidates.

    places: int32 [g, q, n].
    """
    fused = np.zeros(places.shape[1:])
    quiet = np.array([name in reserved for name in generators])
    add_votes(fused.ravel(), places.reshape(len(places), -1), _VOTES, _RESERVED_VOTES, quiet)
    return fused, merit_of(fused, dict(zip(generators, places, strict=True)), reserved)


def merit_of(fused: Votes, places: Mapping[str, Codes], reserved: Mapping[str, int]) -> Floats:
    """Fused values [q, n_items], 1 more for an item with a reserved place; `NOT_OFFERED` where nobody offers it."""
    merit = np.empty(fused.shape, np.float32)
    kept = [name for name, mine in reserved.items() if mine and name in places]
    theirs = np.array([places[name].ravel() for name in kept], np.int32).reshape(len(kept), merit.size)
    set_merit(merit.ravel(), fused.ravel(), theirs, np.array([reserved[name] for name in kept], np.int32))
    return merit


def vote(place: Codes, is_reserved: bool) -> Votes:
    """What a generator adds to the fused value of the items at its places, 0 where it does not offer one."""
    return _votes(is_reserved).take(place)


def _votes(is_reserved: bool) -> Votes:
    """By place, float64 [DEPTH + 1]; 0 at 0."""
    return _RESERVED_VOTES if is_reserved else _VOTES


def _united(look: Look, *, k: int, reserved: Mapping[str, int], named: Codes | None = None) -> Candidates:
    """The candidates among what was looked at; named: items that are there and join them."""
    fused, merit = fuse(look.generators, look.places, reserved)
    chosen, _ = top_k(merit, k)
    if named is not None:
        chosen = joined(chosen, named if look.items is None else np.searchsorted(look.items, named).astype(np.int32))
    return _gather(chosen, fused, look)


def joined(chosen: Codes, named: Codes) -> Codes:
    """Rows of chosen items [q, k], and those named ones [m] that are not among them, int32 [q, k + m] at most.

    >>> joined(np.array([[4, 2], [3, -1]]), np.array([2, 3])).tolist()
    [[4, 2, -1, 3], [3, -1, 2, -1]]
    """
    there = (chosen[:, :, None] == named).any(axis=1)
    further = np.where(there, UNKNOWN, named)[:, ~there.all(axis=0)]
    return np.concatenate([chosen, further], axis=1).astype(np.int32)


def _gather(chosen: Codes, fused: Votes, look: Look) -> Candidates:
    """The chosen ones, best fused first, with every generator's rank and score of them."""
    value = np.where(chosen == UNKNOWN, -1, at_columns(fused, np.maximum(chosen, 0)))
    order = np.argsort(-value, axis=1, kind="stable")
    item, value = at_columns(chosen, order), at_columns(value, order)
    rank = np.zeros((*item.shape, len(look.generators)), np.int32)
    score = np.full(rank.shape, NOT_OFFERED, np.float32)
    gather_places(rank, score, item, look.places, look.scores)
    looked = None
    if look.items is not None:
        item, looked = np.where(item == UNKNOWN, UNKNOWN, look.items.take(item)), look.items[None]
    return Candidates(
        generators=look.generators,
        item=item.astype(np.int32),
        fused=np.maximum(value, 0).astype(np.float32),
        rank=rank,
        score=score,
        looked=looked,
    )


def rescored(
    candidates: Candidates, generators: Sequence[Generator], queries: Queries, *, created_at: Times, batch: int = BATCH
) -> Candidates:
    """The same candidates with other ranks and scores for the generators that are given again (of the same names)."""
    rank, score = candidates.rank.copy(), candidates.score.copy()
    batch = batch if candidates.looked is None else 1
    for start in range(0, len(queries), batch):
        some = queries.rows(start, min(start + batch, len(queries)))
        span = slice(start, start + len(some))
        chosen = np.maximum(candidates.item[span], 0)
        allowed = eligible(some, created_at)
        items = None
        if candidates.looked is not None:
            items = candidates.looked[start][candidates.looked[start] != UNKNOWN]
            if not len(items):
                continue
            allowed, chosen = allowed[:, items], np.searchsorted(items, chosen).clip(max=len(items) - 1)
        for generator in generators:
            masked = offer_only(allowed, generator.score(some) if items is None else generator.score_some(some, items))
            index = candidates.generators.index(generator.name)
            rank[span, :, index] = np.take_along_axis(ranks(masked, DEPTH), chosen, axis=1)
            score[span, :, index] = np.take_along_axis(masked, chosen, axis=1)
    missing = candidates.item == UNKNOWN
    rank[missing], score[missing] = 0, NOT_OFFERED
    return replace(candidates, rank=rank, score=score)
