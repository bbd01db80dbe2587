"""From a request to its answer, with one loaded release: pure but for reading the feature store."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.epoch import microseconds
from feature_repo.errors import StoreError
from feature_repo.schema import EventKind
from feature_repo.store import Store
from ranking.candidates.union import Candidates
from ranking.errors import UnknownEntityError
from ranking.rankers.slates import KEYS, request_rows
from ranking.serving.catalogue import Catalogue
from ranking.serving.histories import EMPTY, Histories, History, session
from ranking.serving.pages import Pages
from ranking.serving.payloads import Recommended, Request, Response, Source, Timings
from ranking.serving.reasons import by_contribution, by_provenance
from ranking.serving.recorded import Recorded
from ranking.serving.releases import Release
from ranking.serving.similar import Neighbours
from ranking.strategy.arrange import Seat
from ranking.strategy.hybrid import Hybrid, Ranked
from ranking.types import UNKNOWN, IdIndex, Queries

UNKNOWN_USER: Final = "unknown_user"  # no event names this user: answered as a newcomer
RULED: Final = "put here by a rule"  # why an item is there that no generator found
FEATURES: Final = "features"  # the feature store did not answer: in the order of the generators' votes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Loaded:
    """A release in memory, with all events, and the histories of all users in its item codes."""

    release: Release
    hybrid: Hybrid
    catalogue: Catalogue
    kinds: Mapping[str, EventKind]
    histories: Histories
    recorded: Recorded
    store: Store
    neighbours: Neighbours
    pages: Pages


@dataclass(frozen=True)
class Answered:
    """An answer, and what its ranker was given.

    vectors: `KEYS` and the features of `service`, one row a candidate; None where the feature store did not answer.
    read_at: by the machine's clock, just before the online store was read.
    """

    response: Response
    vectors: pa.Table | None
    service: str
    read_at: datetime


def answer(loaded: Loaded, request: Request, *, now: datetime, house: bool = True) -> Answered:
    """Recommend.

    now: up to when everything is known; the request's own `at` only says which hour and weekday it is. house: whether
    the house's rules count.

    Raises:
        UnknownEntityError: an item of the session is not in the catalogue.
        RuleError: a rule of the request is wrong.
    """
    watch, request_id = Stopwatch(), uuid4().hex
    wishes, fallbacks = loaded.pages.wishes(request, house=house)
    if request.user_id is not None and request.user_id not in loaded.histories:
        fallbacks.append(UNKNOWN_USER)
    query = _query(loaded, request, now)
    with watch.stage("candidates"):
        allowed = loaded.pages.allowed(wishes, request, query)
        candidates = loaded.hybrid.retrieve(query, allowed=allowed)
    read_at = datetime.now(UTC)
    with watch.stage("features"):
        stored = _features(loaded, request, candidates, query, now)
    if stored is None:
        fallbacks.append(FEATURES)
    with watch.stage("rank"):
        ranked = None
        if stored is not None and len(stored):
            k = candidates.item.shape[1] if wishes else request.k
            ranked = loaded.hybrid.order(candidates, query, stored, k=k, spread=request.spread)
    with watch.stage("strategy"):
        page = loaded.pages.page(wishes, query, candidates, ranked, k=request.k, allowed=allowed, request_id=request_id)
        items = _items(loaded, request, query, candidates, ranked, page.seats)
    response = Response(
        request_id=request_id,
        release=loaded.release.id,
        user_id=request.user_id,
        fallbacks=fallbacks,
        items=items,
        rules=page.notes,
        timings_ms=watch.timings(),
    )
    return Answered(response, stored, loaded.release.manifest.service, read_at)


def _query(loaded: Loaded, request: Request, now: datetime) -> Queries:
    """The request as a batch of one."""
    moment, context = microseconds(now), request.context
    history = _history(loaded, request, moment)
    return Queries(
        user=np.array([UNKNOWN if request.user_id is None else 0], np.int32),
        at=np.array([microseconds(context.at or now)]),
        as_of=np.array([moment]),
        device=np.array([context.device], object),
        place=np.array([context.place], object),
        indptr=np.array([0, len(history)]),
        item=history.item,
        occurred_at=history.occurred_at,
        weight=history.weight,
        positive=history.positive,
        n_items=len(loaded.catalogue.index),
    )


def _history(loaded: Loaded, request: Request, moment: int) -> History:
    """What the user did, then what the session holds."""
    codes = loaded.catalogue.index.codes(request.session)
    if (codes == UNKNOWN).any():
        unknown = request.session[int(np.argmax(codes == UNKNOWN))]
        raise UnknownEntityError(
            f"session: item {unknown!r} is not in the catalogue of release {loaded.release.id}; accepted are item ids "
            f"like {loaded.catalogue.index.ids[0]!r}; leave it out"
        )
    known = EMPTY if request.user_id is None else loaded.histories.of(request.user_id)
    return known.before(moment).then(session(codes, moment))


def _features(
    loaded: Loaded, request: Request, candidates: Candidates, query: Queries, now: datetime
) -> pa.Table | None:
    """The candidates' rows with the features of the release's service; None when the store does not answer."""
    rows = request_rows(candidates, query, IdIndex((request.user_id or "",)), loaded.catalogue.index)
    try:
        found = loaded.store.online_frame(
            request.user_id or "",
            rows[schema.ITEM_ID].to_pylist(),
            at=now,
            requested_at=request.context.at,
            device=request.context.device,
            place=request.context.place,
            service=loaded.release.manifest.service,
        )
    except StoreError as error:
        _log.warning("features are left out: %s", error)
        return None
    for name in found.column_names:
        if name not in KEYS:
            rows = rows.append_column(name, found[name])
    return rows


def _items(
    loaded: Loaded,
    request: Request,
    query: Queries,
    candidates: Candidates,
    ranked: Ranked | None,
    seats: Sequence[Seat],
) -> list[Recommended]:
    """The answer's items, in the order of their seats."""
    sources = [candidates.sources(0, seat.item) for seat in seats]
    reasons = [
        [RULED] if seat.place == UNKNOWN else by_provenance(found) for seat, found in zip(seats, sources, strict=True)
    ]
    if request.explain and ranked is not None:
        told = iter(by_contribution(loaded.hybrid, loaded.catalogue, query, _of(ranked, seats)))
        for why in (why for why, seat in zip(reasons, seats, strict=True) if seat.place != UNKNOWN):
            why[:0] = found = next(told)
            why[len(found) :] = [one for one in why[len(found) :] if one not in found]
    return [
        Recommended(
            item_id=loaded.catalogue.index.ids[seat.item],
            rank=rank,
            score=seat.score,
            propensity=seat.propensity,
            title=loaded.catalogue.titles[seat.item],
            image=loaded.catalogue.images[seat.item],
            sources=[Source(generator=one.generator, rank=one.rank, score=one.score) for one in found],
            reasons=why,
            rules=seat.rules,
        )
        for rank, (seat, found, why) in enumerate(zip(seats, sources, reasons, strict=True), 1)
    ]


def _of(ranked: Ranked, seats: Sequence[Seat]) -> Ranked:
    """The ranker's answer, of those items alone that it ranked and that got a seat, in the order of their seats."""
    places = np.array([[seat.place for seat in seats if seat.place != UNKNOWN]], np.int64)
    return Ranked(ranked.item[:, places[0]], ranked.score[:, places[0]], ranked.place[:, places[0]], ranked.slates)


class Stopwatch:
    """Milliseconds of an answer's stages."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        yield
        self._ms[name] = _since(started)

    def timings(self) -> Timings:
        """All stages and the whole up to now."""
        return Timings(**self._ms, total=_since(self._started))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1e3, 3)
