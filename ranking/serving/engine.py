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
from feature_repo.compute import TICK
from feature_repo.errors import FeatureRepoError, StoreError
from feature_repo.event_log import EventLog
from feature_repo.event_tail import EventTail
from feature_repo.feast_json import Value, first_values
from feature_repo.lookup import NOT_FOUND, Entities, Part, look_up
from feature_repo.served import ServedLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.errors import NotReadyError, RankingError, UnknownEntityError
from ranking.serving.answer import Answered, Loaded, answer
from ranking.serving.answers import Answers
from ranking.serving.compared import Compared
from ranking.serving.explanation_payloads import Explanation
from ranking.serving.explanations import explain_again
from ranking.serving.histories import Histories
from ranking.serving.intake import TOLERANCE, Gate, first_of_each
from ranking.serving.labelled import interactions, labelled
from ranking.serving.made import FEATURES
from ranking.serving.memory import knowing, last_of, remember
from ranking.serving.metrics import Metrics
from ranking.serving.opening import opened
from ranking.serving.pages import checked
from ranking.serving.payloads import Asker, CheckedRules, Receipt, Response, RulesToCheck, Similar
from ranking.serving.releases import Release, Releases
from ranking.serving.state import state_of
from ranking.serving.traffic import Traffic

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
        self.traffic = Traffic(wall())
        self._compared = Compared(self.releases, self._open_to_compare)
        self.answers = Answers(settings.answers)
        self.metrics = Metrics(
            worker=settings.worker,
            state=lambda: state_of(self._loaded, self.answers, self.traffic, now=self.now(), last=self._last),
        )
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

    def recommend(self, request: Asker) -> Response:
        """Answer a request, for items or for their order; raises as `answer` does.

        An answer by a release that the request names is a mere look at it: neither logged nor counted.
        """
        answered = self.answered(request)
        response = answered.response
        if request.release is not None:
            return response
        self.traffic.answered(response)
        self.answers.keep(answered.given, answered.vectors)
        self.metrics.answered(response)
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

    def answered(self, request: Asker) -> Answered:
        """An answer with the vectors behind it, neither logged nor counted.

        Raises as `Compared.of` does for a release that the request names, if it is not the current one.
        """
        loaded = self.follow()
        if request.release not in (None, loaded.release.id):
            loaded = self._beside(loaded, request)
        return answer(loaded, request, now=self.now())

    def explain(self, request_id: str) -> Explanation:
        """Why an earlier answer held what it held; GoneError where it cannot be made again."""
        return explain_again(self.follow(), self.answers, request_id)

    def check_rules(self, asked: RulesToCheck) -> CheckedRules:
        """What is wrong with rules, by the items of the release that answers."""
        loaded = self.follow()
        return checked(loaded.pages.lint(asked), loaded.release.id)

    def similar(self, item_id: str, *, k: int, by: str) -> Similar:
        """The k items nearest to one; raises as `Neighbours.of_item` does."""
        return self.follow().neighbours.of_item(item_id, k=k, by=by)

    def accept(self, posted: Sequence[object]) -> Receipt:
        """Take in events: on disk first, then in the histories and the online features of the users and items.

        posted: JSON objects of `PostedEvent`. A bad one is refused with its reason, the others go on.
        """
        with self._writing:
            loaded = self.follow()
            latest = self._wall() + TOLERANCE
            gate = Gate(loaded.kinds, loaded.catalogue.index, self.now(), latest=latest, answers=self.answers)
            good, refused, unmatched = gate.read(posted)
            new = first_of_each(good, self._log.known(good[schema.EVENT_ID].to_pylist()))
            appended = self._log.append(new)
            loaded = self.follow()  # which takes them into memory
            # duplicates too: their first sender may have died before their features were written
            fallbacks = [] if self._refresh(loaded, good) else [FEATURES]
        receipt = Receipt(
            accepted=appended.accepted,
            duplicates=len(good) - appended.accepted,
            rejected=refused,
            unmatched=unmatched,
            fallbacks=fallbacks,
        )
        self.traffic.received(receipt)
        counts = receipt.accepted, receipt.duplicates, len(refused)
        _log.info("events accepted=%d duplicates=%d rejected=%d fallbacks=%s", *counts, fallbacks)
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

    def _beside(self, loaded: Loaded, request: Asker) -> Loaded:
        """The release that a request names, with the user's history in its own item codes."""
        other = self._compared.of(request.release or "")
        with self._memory:
            mine = loaded.recorded.of([request.user_id or ""], [])
        known = labelled(mine.select(schema.EVENTS.names), other.kinds)
        return replace(other, histories=Histories(interactions(known, other.catalogue.index)))

    def _open_to_compare(self, release: Release) -> Loaded:
        """With what users were shown up to now; histories come with each request."""
        fresh = opened(release, self.settings, now=self.now())
        fresh.pages.begin(labelled(self._log.read(), fresh.kinds))
        return fresh

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
        fresh, tail = opened(release, self.settings, now=self.now()), EventTail(self._log)
        events = tail.read()
        tail.settled()
        full = knowing(fresh, events)
        with self._memory:  # what came meanwhile is unread in this tail
            self._loaded, self._tail, self._last = full, tail, last_of(events)
            self._refused = _Refusal()
        _log.info("release %s is served", release.id)

    def _catch_up(self) -> None:
        """Take further events into memory; where users were forgotten, all anew, and the release, which names them."""
        with self._memory:
            loaded, news = self.loaded, self._tail.unread()
            if news is None:
                every = self._tail.read()
                self._loaded, self._last = knowing(loaded, every), last_of(every)
                self.answers = Answers(self.settings.answers)
            else:
                remember(loaded, news)
                self._last = last_of(news, self._last)
            self._tail.settled()
        if news is None:
            _log.info("users were forgotten: histories are read again")
            self._begin_to_load(loaded.release.id)

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
