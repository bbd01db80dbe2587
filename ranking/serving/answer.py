"""From a request to its answer, with one loaded release: pure but for reading the feature store."""

import logging
import time
from collections.abc import Iterator, Mapping
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
from ranking.serving.payloads import Recommended, Request, Response, Source, Timings
from ranking.serving.reasons import by_contribution, by_provenance
from ranking.serving.recorded import Recorded
from ranking.serving.releases import Release
from ranking.serving.similar import Neighbours
from ranking.strategy.hybrid import Hybrid, Ranked
from ranking.types import UNKNOWN, IdIndex, Queries

UNKNOWN_USER: Final = "unknown_user"  # no event names this user: answered as a newcomer
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


def answer(loaded: Loaded, request: Request, *, now: datetime) -> Answered:
    """Recommend.

    now: up to when everything is known; the request's own `at` only says which hour and weekday it is.

    Raises:
        UnknownEntityError: an item of the session is not in the catalogue.
    """
    watch = Stopwatch()
    fallbacks = []
    if request.user_id is not None and request.user_id not in loaded.histories:
        fallbacks.append(UNKNOWN_USER)
    query = _query(loaded, request, now)
    with watch.stage("candidates"):
        candidates = loaded.hybrid.retrieve(query)
    read_at = datetime.now(UTC)
    with watch.stage("features"):
        stored = _features(loaded, request, candidates, query, now)
    if stored is None:
        fallbacks.append(FEATURES)
    with watch.stage("rank"):
        ranked = None
        if stored is not None and len(stored):
            ranked = loaded.hybrid.order(candidates, query, stored, k=request.k)
    with watch.stage("strategy"):
        items = _items(loaded, request, query, candidates, ranked)
    response = Response(
        request_id=uuid4().hex,
        release=loaded.release.id,
        user_id=request.user_id,
        fallbacks=fallbacks,
        items=items,
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
    loaded: Loaded, request: Request, query: Queries, candidates: Candidates, ranked: Ranked | None
) -> list[Recommended]:
    """The answer's items; without a ranker's order in that of the fusion."""
    codes, scores = (candidates.item, candidates.fused) if ranked is None else (ranked.item, ranked.score)
    best = [(code, score) for code, score in zip(codes[0].tolist(), scores[0].tolist(), strict=True) if code >= 0]
    best = best[: request.k]
    sources = [candidates.sources(0, code) for code, _ in best]
    reasons = [by_provenance(found) for found in sources]
    if request.explain and ranked is not None:
        told = by_contribution(loaded.hybrid, loaded.catalogue, query, ranked)
        reasons = [mine + [one for one in found if one not in mine] for mine, found in zip(told, reasons, strict=True)]
    return [
        Recommended(
            item_id=loaded.catalogue.index.ids[code],
            rank=rank,
            score=score,
            propensity=1.0,
            title=loaded.catalogue.titles[code],
            image=loaded.catalogue.images[code],
            sources=[Source(generator=one.generator, rank=one.rank, score=one.score) for one in found],
            reasons=why,
            rules=[],
        )
        for rank, ((code, score), found, why) in enumerate(zip(best, sources, reasons, strict=True), 1)
    ]


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
