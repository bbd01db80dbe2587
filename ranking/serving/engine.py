"""The serving engine: the current release in memory, the events that come in, and the clock."""

import gc
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.asked import Asked
from feature_repo.compute import TICK, rows_at
from feature_repo.errors import FeatureRepoError, StoreError
from feature_repo.event_log import EventLog
from feature_repo.event_tail import EventTail
from feature_repo.feast_json import Value, first_values
from feature_repo.labels import label_events
from feature_repo.lookup import NOT_FOUND, Entities, Part, look_up
from feature_repo.schema import EventKind
from feature_repo.served import ServedLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.errors import ArtifactError, NotReadyError, RankingError, UnknownEntityError
from ranking.serving.answer import FEATURES, Answered, Loaded, answer
from ranking.serving.catalogue import load_parts
from ranking.serving.histories import Histories
from ranking.serving.intake import TOLERANCE, Gate
from ranking.serving.payloads import Receipt, Request, Response, Similar
from ranking.serving.recorded import Recorded
from ranking.serving.releases import Release, Releases
from ranking.serving.similar import Neighbours
from ranking.types import IdIndex, Interactions

LIVE: Final = timedelta(days=2)  # data whose last event is older are an archive, and keep their own time

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refusal:
    """A release that could not be loaded."""

    id: str = ""
    reason: str = ""


class Engine:
    """Answers requests of any number of threads. Reading takes no lock: what changes is replaced as a whole.

    It follows the home's current release: a new one is loaded beside the one that answers, tried, and put in its place.

    Args:
        settings: the deployment.
        wall: the wall clock, UTC.
        served: where vectors that rankers were given are logged; the deployment's own log by default.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        served: ServedLog | None = None,
    ) -> None:
        self.settings = settings
        self.served = served or ServedLog.of(settings)
        self.releases = Releases.of(settings)
        self._wall = wall
        self._log = EventLog(settings.events)
        self._tail = EventTail(self._log)
        self._writing = threading.Lock()  # events in, one batch after the other
        self._memory = threading.Lock()  # events from the log into memory: held for microseconds, but to read it whole
        self._loading = threading.Lock()
        self._loaded: Loaded | None = None
        self._refused = _Refusal()
        self._last: datetime | None = None  # of the events in memory

    def load(self) -> None:
        """Load the current release and all events now; ArtifactError for none or a damaged one: the old one stays."""
        release = self.releases.current()
        with self._loading:
            self._load(release)

    @property
    def loaded(self) -> Loaded:
        """The release that answers; NotReadyError before there is one."""
        if self._loaded is None:
            raise NotReadyError(f"no release is loaded: {self._refused.reason or 'it is on its way, ask again soon'}")
        return self._loaded

    @property
    def refused(self) -> str:
        """Why the home's current release does not answer, empty if it does."""
        return self._refused.reason

    def now(self) -> datetime:
        """The wall clock while the data are live; of an archive, the moment after its last event."""
        last = self._logged_until if self._loaded is None else self._last
        wall = self._wall()
        if last is None:
            return wall
        return last + TICK if wall - last >= LIVE else max(wall, last + TICK)

    def recommend(self, request: Request) -> Response:
        """Answer a request; raises `UnknownEntityError` for an item of the session that is not in the catalogue."""
        answered = self.answered(request)
        response = answered.response
        if answered.vectors is not None:
            self.served.offer(
                answered.vectors,
                request_id=response.request_id,
                read_at=answered.read_at,
                release=response.release,
                service=answered.service,
            )
        _log.info(
            "recommendations %s release=%s items=%d ms=%s fallbacks=%s",
            response.request_id,
            response.release,
            len(response.items),
            response.timings_ms.model_dump(),
            response.fallbacks,
        )
        return response

    def answered(self, request: Request) -> Answered:
        """An answer with the vectors behind it, neither logged nor counted."""
        return answer(self.follow(), request, now=self.now())

    def similar(self, item_id: str, *, k: int, by: str) -> Similar:
        """The k items nearest to one; raises as `Neighbours.of_item` does."""
        return self.follow().neighbours.of_item(item_id, k=k, by=by)

    def accept(self, posted: Sequence[object]) -> Receipt:
        """Take in events: on disk first, then in the histories and the online features of the users and items.

        posted: JSON objects of `PostedEvent`. A bad one is refused with its reason, the others go on.
        """
        with self._writing:
            loaded = self.follow()
            gate = Gate(loaded.kinds, loaded.catalogue.index, self.now(), latest=self._wall() + TOLERANCE)
            good, refused = gate.read(posted)
            new = _first_of_each(good, self._log.known(good[schema.EVENT_ID].to_pylist()))
            appended = self._log.append(new)
            loaded = self.follow()  # which takes them into memory
            # duplicates too: their first sender may have died before their features were written
            fallbacks = [] if self._refresh(loaded, good) else [FEATURES]
        receipt = Receipt(
            accepted=appended.accepted,
            duplicates=len(good) - appended.accepted,
            rejected=refused,
            fallbacks=fallbacks,
        )
        _log.info(
            "events accepted=%d duplicates=%d rejected=%d fallbacks=%s",
            receipt.accepted,
            receipt.duplicates,
            len(refused),
            fallbacks,
        )
        return receipt

    def online_features(self, entities: Entities, asked: Asked) -> list[Part]:
        """Features as of now; raises `StoreError` for what the store does not know. Needs no loaded release."""
        store = self._idle_store if self._loaded is None else self._loaded.store
        return look_up(store, entities, asked, at=self.now())

    def lookup(self, entities: Mapping[str, str], *, service: str | None = None) -> dict[str, Value]:
        """Online features of one entity of each kind by name; without a service, all that are stored.

        Raises:
            UnknownEntityError: nothing is stored of them.
            StoreError: no such service, or it needs further entities.
        """
        _, *views = self.online_features({key: [one] for key, one in entities.items()}, Asked(service))
        if all((one.statuses == NOT_FOUND).all() for one in views):
            raise UnknownEntityError(
                f"{', '.join(f'{key} {one!r}' for key, one in entities.items())}: the online store knows nothing of "
                "it; check the id, or post its first event"
            )
        return first_values(views)

    def follow(self) -> Loaded:
        """The release that answers now, with all that any process has told or made forgotten up to now.

        If the home's current release is another, it begins to load beside. Raises NotReadyError while there is none.
        """
        if self._loaded is not None and self._tail.moved():
            self._catch_up()
        here = None if self._loaded is None else self._loaded.release.id
        wanted = self.releases.current_id()
        if wanted is not None and wanted not in (here, self._refused.id):
            self._begin_to_load(wanted)
        return self.loaded

    def wait(self) -> None:
        """Come back when no release is on its way any more."""
        with self._loading:
            pass

    def _begin_to_load(self, wanted: str) -> None:
        if self._loading.acquire(blocking=False):
            threading.Thread(target=self._load_beside, args=(wanted,), name="load-release", daemon=True).start()

    @cached_property
    def _logged_until(self) -> datetime | None:
        """When the log's last event occurred, read once: a load reads it anew."""
        return self._log.last_occurred_at()

    @cached_property
    def _idle_store(self) -> Store:
        """Answers look-ups before there is a release."""
        return Store(self.settings)

    def _load_beside(self, wanted: str) -> None:
        try:
            self._load(self.releases.open(wanted))
        except (RankingError, FeatureRepoError) as error:
            self._refused = _Refusal(wanted, str(error))
            _log.error("release %s is not served: %s", wanted, error)
        finally:
            # else a full collection, 150 ms over the many imported modules, falls into somebody's request
            gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._loading.release()

    def _load(self, release: Release) -> None:
        hybrid, catalogue = load_parts(release)
        kinds = {kind.name: kind for kind in release.manifest.kinds}
        nothing = schema.LABELLED_EVENTS.empty_table()
        nobody = Histories(_interactions(nothing, catalogue.index))
        neighbours = Neighbours(release, lambda: hybrid.knowledge.space, catalogue, self.settings)
        fresh = Loaded(release, hybrid, catalogue, kinds, nobody, Recorded(nothing), Store(self.settings), neighbours)
        _try(fresh, self.now())
        tail = EventTail(self._log)
        full, last = _with_events(fresh, tail.read())
        tail.settled()
        with self._memory:
            self._loaded, self._tail, self._last = full, tail, last  # what came meanwhile is unread in this tail
            self._refused = _Refusal()
        _log.info("release %s is served", release.id)

    def _catch_up(self) -> None:
        """Take further events into memory; where users were forgotten, all anew, and the release, which names them."""
        with self._memory:
            loaded, events = self.loaded, self._tail.unread()
            if events is not None:
                self._remember(loaded, events)
            else:
                self._loaded, self._last = _with_events(loaded, self._tail.read())
            self._tail.settled()
        if events is not None:
            return
        _log.info("users were forgotten: histories are read again")
        self._begin_to_load(loaded.release.id)

    def _remember(self, loaded: Loaded, events: pa.Table) -> None:
        labelled = _labelled(events, loaded.kinds)
        loaded.recorded.add(labelled)
        loaded.histories.add(_interactions(labelled, loaded.catalogue.index))
        latest = [one for one in (self._last, pc.max(events[schema.OCCURRED_AT]).as_py()) if one is not None]
        self._last = max(latest, default=None)

    def _refresh(self, loaded: Loaded, events: pa.Table) -> bool:
        """Bring the online features of the events' users and items up to date; False when the store does not answer."""
        if not len(events):
            return True
        users, items = (pc.unique(events[name]).to_pylist() for name in (schema.USER_ID, schema.ITEM_ID))
        with self._memory:
            known = loaded.recorded.of(users, items)
        try:
            loaded.store.refresh(known, loaded.catalogue.items_of(known), at=self.now(), users=users, item_ids=items)
        except StoreError as error:
            _log.warning("online features stay behind %d events: %s", len(events), error)
            return False
        return True


def _try(loaded: Loaded, now: datetime) -> None:
    """Let a release answer one request before it serves any, and compute what an event changes: this warms both up."""
    first = Request(session=(loaded.catalogue.index.ids[0],))
    rows_at(loaded.recorded.of([], []), loaded.catalogue.table.slice(0, 0), at=now, users=[""], item_ids=[""])
    try:
        answer(loaded, first, now=now)
    except KeyError as error:
        raise ArtifactError(
            f"release {loaded.release.id}: its ranker reads {error}, which {loaded.release.manifest.service} does not "
            "have; build a release with the feature definitions as they are now"
        ) from error


def _with_events(loaded: Loaded, events: pa.Table) -> tuple[Loaded, datetime | None]:
    """A release with these events alone, and when the last of them occurred."""
    labelled = _labelled(events, loaded.kinds)
    histories = Histories(_interactions(labelled, loaded.catalogue.index))
    last: datetime | None = pc.max(events[schema.OCCURRED_AT]).as_py()
    return replace(loaded, histories=histories, recorded=Recorded(labelled)), last


def _labelled(events: pa.Table, kinds: Mapping[str, EventKind]) -> pa.Table:
    """Events of the kinds that a release knows, with what it makes of them."""
    return label_events(
        events.filter(pc.is_in(events[schema.KIND], pa.array(kinds, pa.string()))), list(kinds.values())
    )


def _interactions(labelled: pa.Table, items: IdIndex) -> Interactions:
    users = IdIndex.of(labelled[schema.USER_ID].to_pylist())
    return Interactions.from_events(labelled, users=users, items=items)


def _first_of_each(events: pa.Table, known: set[str]) -> pa.Table:
    """The first event of every id that is not known."""
    rows: dict[str, int] = {}
    for row, event_id in enumerate(events[schema.EVENT_ID].to_pylist()):
        if event_id not in known:
            rows.setdefault(event_id, row)
    return events.take(pa.array(rows.values(), pa.int64()))
