"""From a request to its answer, with one loaded release: pure but for reading the feature store."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import online, schema
from feature_repo.columns import Column, Columns, columns_of, nulls, table_of
from feature_repo.epoch import microseconds
from feature_repo.errors import StoreError
from feature_repo.schema import EventKind
from feature_repo.store import Store
from feature_repo.stores.packed_keys import SomeIds
from ranking.candidates.candidates import Candidates
from ranking.candidates.looks import eligible
from ranking.errors import UnknownEntityError
from ranking.rankers.slates import KEYS, request_columns
from ranking.serving.answers import Given, Place
from ranking.serving.catalogue import Catalogue
from ranking.serving.histories import EMPTY, Histories, History, session
from ranking.serving.limits import Limits
from ranking.serving.made import Asked, Made
from ranking.serving.order import Order
from ranking.serving.pages import Pages
from ranking.serving.payloads import Asker, RankRequest, Request, Response
from ranking.serving.query_content import contents_of
from ranking.serving.recorded import Recorded
from ranking.serving.releases import Release
from ranking.serving.shown import shown
from ranking.serving.similar import Neighbours
from ranking.serving.sought import SHARE, Sought
from ranking.serving.stopwatch import Stopwatch
from ranking.strategy.hybrid import Hybrid
from ranking.types import UNKNOWN, Bools, Codes, Floats, IdIndex, Queries

UNKNOWN_USER: Final = "unknown_user"  # no event names this user: answered as a newcomer

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
    limits: Limits


@dataclass(frozen=True)
class Answered:
    """An answer, and how it was made.

    service: whose features the ranker was given.
    """

    response: Response
    made: Made
    service: str

    @property
    def vectors(self) -> pa.Table | None:
        """`KEYS` and the features, one row a candidate; None where the feature store did not answer."""
        return self.made.stored

    @property
    def read_at(self) -> datetime:
        """By the machine's clock, just before the online store was read."""
        return self.made.read_at

    @property
    def given(self) -> Given:
        """What it takes to make the answer again."""
        asked = self.made.asked
        return Given(
            self.response.request_id,
            asked.request if asked.request.query is None else asked.request.model_copy(update={"query": None}),
            asked.now,
            self.response.release,
            len(asked.query.item),
            {one.item_id: Place(one.rank, one.score, one.propensity) for one in self.response.items},
            None if asked.sought is None else asked.sought.vector,
        )


def answer(loaded: Loaded, request: Asker, *, now: datetime, house: bool = True) -> Answered:
    """Recommend, or put the items that the request names in order.

    now: up to when everything is known; the request's own `at` only says which hour and weekday it is. house: whether
    the house's rules count.

    Raises:
        UnknownEntityError: an item of the session, or a named one, is not in the catalogue.
        RuleError: a rule of the request is wrong.
    """
    watch = Stopwatch(loaded.limits.budget_ms)
    made = make(loaded, understand(loaded, request, now=now, request_id=uuid4().hex, house=house), watch)
    response = Response(
        request_id=made.asked.request_id,
        release=loaded.release.id,
        user_id=request.user_id,
        fallbacks=made.fallbacks,
        items=shown(loaded.hybrid, loaded.catalogue, made),
        rules=made.page.notes,
        timings_ms=watch.timings(),
    )
    return Answered(response, made, loaded.release.manifest.service)


def understand(
    loaded: Loaded,
    request: Asker,
    *,
    now: datetime,
    request_id: str,
    house: bool = True,
    vector: Floats | None = None,
) -> Asked:
    """What a release makes of a request's words; arguments and errors as of `answer`.

    vector: float32 [d], where the request's query lies, if that is known already.
    """
    wishes, fallbacks = loaded.pages.wishes(request, house=house)
    if request.user_id is not None and request.user_id not in loaded.histories:
        fallbacks.append(UNKNOWN_USER)
    named = _known(loaded, request.items, "items") if isinstance(request, RankRequest) else None
    query = _query(loaded, request, now)
    if vector is None and request.query is not None:
        vector = loaded.neighbours.place(**contents_of(request.query))
    vectors = loaded.hybrid.knowledge.space.fused
    sought = None if vector is None else Sought(vector, request.query_weight, vectors)
    return Asked(request, request_id, now, query, wishes, named, sought=sought, fallbacks=tuple(fallbacks))


def make(loaded: Loaded, asked: Asked, watch: Stopwatch, *, known: pa.Table | None = None) -> Made:
    """The whole path from candidates to a page.

    known: rows of an earlier `Made.stored`, for the candidates that are among them; the others' features are read now.

    Named items are ordered beside the candidates that an answer would be chosen from: so they have the scores that they
    would have there, and the answer's order. Where the watch has a budget, features and ranking may be left out.
    """
    with loaded.limits.turn:
        return _made(loaded, asked, watch, known)


def _made(loaded: Loaded, asked: Asked, watch: Stopwatch, known: pa.Table | None) -> Made:
    request, query, wishes, named = asked.request, asked.query, asked.wishes, asked.named
    limits = loaded.limits
    k = _asked_for(asked)
    with watch.stage("candidates"):
        allowed = loaded.pages.allowed(wishes, request, query)
        if asked.barred is not None:
            allowed = np.ones(query.n_items, bool) if allowed is None else allowed.copy()
            allowed[asked.barred] = False
        near = _near(loaded, asked, allowed, k)
        joining = near if named is None else np.concatenate([named, near[~np.isin(near, named)]])
        candidates = loaded.hybrid.retrieve(query, allowed=allowed, named=joining if len(joining) else None)
    read_at = datetime.now(UTC)
    with watch.stage("features"):
        within_s = limits.of_features(watch)
        rows = _features(loaded, request, candidates, query, asked.now, known, within_s=within_s)
    with watch.stage("rank"):
        ranked, late = None, False
        if rows is not None and len(rows[schema.ITEM_ID]) and not (late := not limits.may_rank(watch)):
            deep = k if named is None and asked.sought is None and not wishes else candidates.item.shape[1]
            ranked = loaded.hybrid.order(candidates, query, rows, k=deep, spread=request.spread)
    with watch.stage("strategy"):
        order = Order.of(candidates, ranked)
        if asked.sought is not None:
            order = order.mixed(candidates, asked.sought)
        page = loaded.pages.page(
            wishes,
            query,
            candidates,
            order,
            k=k,
            allowed=allowed,
            request_id=asked.request_id,
            only=None if named is None else _mask(named, query.n_items),
        )
    limits.note(watch, ranked=ranked is not None)
    slates = None if ranked is None else ranked.slates
    return Made(asked, candidates, rows, slates, near, order, page, read_at, late)


def _near(loaded: Loaded, asked: Asked, allowed: Bools | None, k: int) -> Codes:
    """Items near what is looked for, that join the candidates; at least as many as the page holds."""
    if asked.sought is None:
        return np.empty(0, np.int32)
    offered = eligible(asked.query, loaded.hybrid.created_at, allowed)[0]
    return asked.sought.near(offered, max(k, round(SHARE * loaded.hybrid.config.candidates)))


def _asked_for(asked: Asked) -> int:
    """How many items the page has at most."""
    if asked.named is not None:
        return len(asked.named)
    assert isinstance(asked.request, Request)  # who names no items asks for some
    return asked.request.k


def _mask(items: Codes, n_items: int) -> Bools:
    found = np.zeros(n_items, bool)
    found[items] = True
    return found


def _query(loaded: Loaded, request: Asker, now: datetime) -> Queries:
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


def _history(loaded: Loaded, request: Asker, moment: int) -> History:
    """What the user did, then what the session holds."""
    known = EMPTY if request.user_id is None else loaded.histories.of(request.user_id)
    past = known.before(moment)
    return past.then(session(_known(loaded, request.session, "session"), moment)) if request.session else past


def _known(loaded: Loaded, item_ids: Sequence[str], field: str) -> Codes:
    """Codes of items, all of which the release must know. field: of the request, for the error."""
    codes = loaded.catalogue.index.codes(item_ids)
    if (codes == UNKNOWN).any():
        unknown = item_ids[int(np.argmax(codes == UNKNOWN))]
        raise UnknownEntityError(
            f"{field}: item {unknown!r} is not in the catalogue of release {loaded.release.id}; accepted are item ids "
            f"like {loaded.catalogue.index.ids[0]!r}; leave it out"
        )
    return codes


def _features(
    loaded: Loaded,
    request: Asker,
    candidates: Candidates,
    query: Queries,
    now: datetime,
    known: pa.Table | None = None,
    *,
    within_s: float | None = None,
) -> Columns | None:
    """The candidates' rows with the features of the release's service; None when the store does not answer in time.

    known: rows that were read before.
    """
    rows = request_columns(candidates, query, IdIndex((request.user_id or "",)), loaded.catalogue.index)
    item_ids, codes = rows[schema.ITEM_ID].values, candidates.items.astype(np.int64)
    read_before = None if known is None else pc.index_in(item_ids, known[schema.ITEM_ID].combine_chunks())
    if read_before is not None:
        item_ids, codes = item_ids.filter(read_before.is_null()), codes[nulls(read_before)]
    found: dict[str, Column] = {}
    if len(item_ids) or known is None:
        context = request.context
        asked = online.Request(now, context.at or now, context.device, context.place)
        try:
            found = loaded.limits.read(
                lambda: loaded.store.online_columns(
                    request.user_id or "",
                    online.Ids(item_ids, None, SomeIds(loaded.catalogue.index.known, codes)),
                    asked,
                    service=loaded.release.manifest.service,
                ),
                within_s=within_s,
            )
        except StoreError as error:
            _log.warning("features are left out: %s", error)
            return None
    if known is not None and read_before is not None:
        found = _joined(known.drop_columns(list(KEYS)), found, read_before)
    return rows | found


def _joined(known: pa.Table, found: Columns, place: pa.Array) -> dict[str, Column]:
    """Columns of rows that are known, by their places, and of rows that were found, in order where a place is null."""
    unread = place.is_null().to_numpy(zero_copy_only=False)
    taken = np.where(unread, len(known) + np.cumsum(unread) - 1, place.fill_null(0).to_numpy())
    both = pa.concat_tables([known, table_of({name: found[name] for name in known.column_names})]) if found else known
    return columns_of(both.take(pa.array(taken)))
