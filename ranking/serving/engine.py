"""The serving engine: the current release in memory, the events that come in, and the clock."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property

from prometheus_client.metrics_core import Metric

from feature_repo import schema
from feature_repo.asked import Asked
from feature_repo.compute import LIVE, TICK
from feature_repo.event_log import EventLog
from feature_repo.event_tail import EventTail
from feature_repo.feast_json import Value
from feature_repo.lookup import Entities, Part
from feature_repo.served import ServedLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.errors import NotReadyError
from ranking.serving.answer import Answered, Loaded, answer
from ranking.serving.answers import Answers
from ranking.serving.compared import Compared
from ranking.serving.explanation_payloads import Explanation
from ranking.serving.explanations import explain_again
from ranking.serving.golden import GoldenRequests
from ranking.serving.histories import Histories
from ranking.serving.intake import TOLERANCE, Gate, first_of_each
from ranking.serving.labelled import interactions, labelled
from ranking.serving.limits import Limits
from ranking.serving.loading import Loading
from ranking.serving.lookups import looked_up, one_of_each
from ranking.serving.made import FEATURES
from ranking.serving.memory import knowing, last_of, remember
from ranking.serving.metrics import Metrics
from ranking.serving.opening import opened
from ranking.serving.pages import checked
from ranking.serving.payloads import Asker, CheckedRules, Receipt, Response, RulesToCheck, Similar
from ranking.serving.refreshing import Refresher
from ranking.serving.releases import Release, Releases
from ranking.serving.rollout_metrics import release_metrics, store_metrics
from ranking.serving.shadow import Shadow
from ranking.serving.state import state_of
from ranking.serving.store_calls import StoreCalls
from ranking.serving.traffic import Traffic
from ranking.serving.turn import Turn

_log = logging.getLogger(__name__)


class Engine:
    """Answers requests of any number of threads. Reading takes no lock: what changes is replaced as a whole.

    It follows the home's current release: a new one is loaded beside the one that answers, tried by golden requests,
    and put in its place.

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
        self.reads, self._writes = StoreCalls.reads(settings), StoreCalls.writes(settings)
        self._turn = Turn()
        self._patient = Limits(StoreCalls.patient(settings), turn=self._turn)
        self._compared = Compared(self.releases, self._open_to_compare)
        self._candidate = Compared(self.releases, self._open_to_compare)
        self._shadow_limits = Limits(StoreCalls.reads(settings, "shadow"), settings.budget.ms, turn=self._turn)
        self.shadow = Shadow(settings.shadow, self._answer_in_shadow)
        self.golden = GoldenRequests(settings.golden, settings.golden_requests)
        self.loading = Loading(self.releases, self._swap)
        self.answers = Answers(settings.answers)
        self.metrics = Metrics(
            worker=settings.worker,
            state=lambda: state_of(self._loaded, self.answers, self.traffic, now=self.now(), last=self._last),
            further=self._further_metrics,
        )
        self._wall = wall
        self._log = EventLog(settings.events)
        self._tail = EventTail(self._log)
        self._writing = threading.Lock()  # events in, one batch after the other
        self._memory = threading.Lock()  # events from the log into memory: held for microseconds, but to read it whole
        self._loaded: Loaded | None = None
        self._last: datetime | None = None  # of the events in memory
        self._refresher = Refresher(
            self._writes,
            memory=self._memory,
            writing=self._writing,
            now=self.now,
            retry_s=settings.budget.store_retry_s,
        )

    def load(self) -> None:
        """Load the current release and all events now. An error leaves the old one.

        Raises:
            ArtifactError: there is none, or it is damaged.
            UnfitError: it does not answer golden requests well.
        """
        self.loading.now(self.releases.current())

    @property
    def loaded(self) -> Loaded:
        """The release that answers; NotReadyError before there is one."""
        if self._loaded is None:
            raise NotReadyError(f"no release is loaded: {self.refused or 'it is on its way, ask again soon'}")
        return self._loaded

    @property
    def refused(self) -> str:
        """Why the home's current release does not answer, empty if it does."""
        return self.loading.refused.reason

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
        self.shadow.offer(request, response, answered.made.asked.now)
        if self._refresher.due and FEATURES not in response.fallbacks:
            self._refresher.settle(self.follow)
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
            dict(response.timings_ms),
            response.fallbacks,
        )
        return response

    def answered(self, request: Asker) -> Answered:
        """An answer with the vectors behind it, neither logged nor counted.

        Raises as `Compared.of` does for a release that the request names, if it is not the current one.
        """
        loaded = self.follow()
        if request.release not in (None, loaded.release.id):
            loaded = self._beside(self._compared.of(request.release or ""), loaded, request)
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
            fallbacks = [] if self._refresher.refresh(loaded, good) else [FEATURES]
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
        return looked_up(store, self.reads, entities, asked, at=self.now())

    def lookup(self, entities: Mapping[str, str], *, service: str | None = None) -> dict[str, Value]:
        """Online features of one entity of each kind by name; without a service, all that are stored.

        Raises:
            UnknownEntityError: nothing is stored of them.
            StoreError: no such service, or it needs further entities.
        """
        return one_of_each(
            entities, self.online_features({key: [one] for key, one in entities.items()}, Asked(service))
        )

    def follow(self) -> Loaded:
        """The release that answers now, with all that any process has told or made forgotten up to now.

        If the home's current release is another, it begins to load beside. Raises NotReadyError while there is none.
        """
        if self._loaded is not None and self._tail.moved():
            self._catch_up()
        self.loading.follow(self._answering)
        return self.loaded

    def _answering(self) -> str | None:
        """The id of the release that answers."""
        return None if self._loaded is None else self._loaded.release.id

    def wait(self) -> None:
        """Come back when no release is on its way any more."""
        self.loading.wait()

    def _beside(self, other: Loaded, loaded: Loaded, request: Asker) -> Loaded:
        """Another release than the one that answers, with the user's history in its own item codes."""
        with self._memory:
            mine = loaded.recorded.of([request.user_id or ""], [])
        known = labelled(mine.select(schema.EVENTS.names), other.kinds)
        return replace(other, histories=Histories(interactions(known, other.catalogue.index)))

    def _answer_in_shadow(self, request: Asker, now: datetime) -> Response:
        """The candidate's answer, under the limits of live ones but by calls of its own."""
        other = self._beside(self._candidate.of(self.settings.shadow.release or ""), self.loaded, request)
        return answer(replace(other, limits=self._shadow_limits), request, now=now).response

    def _open_to_compare(self, release: Release) -> Loaded:
        """With what users were shown up to now; histories come with each request."""
        fresh = opened(release, self.settings, now=self.now(), limits=self._patient)
        fresh.pages.begin(labelled(self._log.read(), fresh.kinds))
        return fresh

    def _further_metrics(self) -> Iterator[Metric]:
        yield from release_metrics(self.loading, self.golden, self.shadow)
        yield from store_metrics({"read": self.reads, "write": self._writes}, self._refresher)

    @cached_property
    def _logged_until(self) -> datetime | None:
        """When the log's last event occurred, read once: a load reads it anew."""
        return self._log.last_occurred_at()

    @cached_property
    def _idle_store(self) -> Store:
        """Answers look-ups before there is a release."""
        return Store(self.settings)

    def _swap(self, release: Release) -> None:
        """Let a release answer from now on, if its golden requests pass; one that answers already is only renewed."""
        fresh, tail = opened(release, self.settings, now=self.now(), limits=self._patient), EventTail(self._log)
        events = tail.read()
        tail.settled()
        full = replace(knowing(fresh, events), limits=Limits(self.reads, self.settings.budget.ms, turn=self._turn))
        if self._loaded is None or self._loaded.release.id != release.id:
            self.golden.check(full, live=self._loaded, now=self.now())
        with self._memory:  # what came meanwhile is unread in this tail
            self._loaded, self._tail, self._last = full, tail, last_of(events)

    def _catch_up(self) -> None:
        """Take further events into memory; where users were forgotten, all anew, and the release, which names them."""
        with self._memory:
            loaded, news = self.loaded, self._tail.unread()
            if news is None:
                every = self._tail.read()
                self._loaded, self._last = knowing(loaded, every), last_of(every)
                self.answers = Answers(self.settings.answers)
                self._compared.drop()
                self._candidate.drop()
            else:
                remember(loaded, news)
                self._last = last_of(news, self._last)
            self._tail.settled()
        if news is None:
            _log.info("users were forgotten: histories are read again")
            self.loading.begin(loaded.release.id)
