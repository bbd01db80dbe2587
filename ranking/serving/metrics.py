"""What a server measures of itself, for Prometheus. No label names a user, an item or a request.

Each process measures itself alone and says its name in the label `worker`, which the setting of that name gives: where
several serve one home, scrape each of them. The client library's own counters are not used: where Feast was imported
before it, they lie in files that all counters of a process share, and are neither counted apart nor fast.
"""

import threading
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ranking.serving.payloads import Response

BUCKETS: Final = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ELSEWHERE: Final = "other"  # the endpoint of a path that there is not: clients make up endless ones


@dataclass(frozen=True)
class State:
    """What is read at a scrape.

    release: empty before one is loaded. views_behind_s: by view, how far its online rows are behind the data's clock.
    since: when the server began to count. fallbacks: answers by what they had to do without. events: posted ones by
    what became of them.
    """

    now: datetime
    release: str
    release_created_at: datetime | None
    newest_event_at: datetime | None
    views_behind_s: dict[str, float]
    sizes: dict[str, int]
    since: datetime
    fallbacks: Mapping[str, int]
    events: Mapping[str, int]


class Times:
    """How many values, seconds as a rule, fell in each bucket, of which the last has no end, and their sum."""

    def __init__(self, ends: tuple[float, ...] = BUCKETS) -> None:
        self.ends = ends
        self.counts = [0] * (len(ends) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.ends, value)] += 1
        self.total += value

    def copy(self) -> "Times":
        """As it is now."""
        other = Times(self.ends)
        other.counts, other.total = [*self.counts], self.total
        return other


class Metrics:
    """Of one process; any number of threads may add to them.

    worker: its name. state: what is so at this moment. further: metrics that others count.
    """

    def __init__(
        self, *, worker: str, state: Callable[[], State], further: Callable[[], Iterable[Metric]] = tuple
    ) -> None:
        self._worker = worker
        self._lock = threading.Lock()
        self._stages: defaultdict[str, Times] = defaultdict(Times)
        self._latency: defaultdict[str, Times] = defaultdict(Times)
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._registry = CollectorRegistry()
        self._registry.register(_AtScrape(state, lambda: [*self._counted(), *further()]))

    def answered(self, response: Response) -> None:
        """Time an answer's stages."""
        with self._lock:
            for stage, ms in response.timings_ms:
                self._stages[stage].add(ms / 1e3)

    def requested(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Count a request over HTTP."""
        with self._lock:
            self._requests[endpoint, method, str(status)] += 1
            self._latency[endpoint].add(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(_Named(self._registry, self._worker))

    def _counted(self) -> list[Metric]:
        requests = CounterMetricFamily(
            "trichord_requests", "Requests answered", labels=["endpoint", "method", "status"]
        )
        with self._lock:
            for labels, count in self._requests.items():
                requests.add_metric(labels, count)
            return [
                histogram("trichord_answer_seconds", "Time of an answer's stages and the whole", "stage", self._stages),
                requests,
                histogram("trichord_request_seconds", "Time from head to answer's end", "endpoint", self._latency),
            ]


class _AtScrape(Collector):
    """What was counted, and what is read at a scrape."""

    def __init__(self, state: Callable[[], State], counted: Callable[[], Iterable[Metric]]) -> None:
        self._state, self._counted = state, counted

    def describe(self) -> Iterable[Metric]:
        """Nothing: it would read the state when the server starts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """As of now."""
        yield from self._counted()
        state = self._state()
        info = GaugeMetricFamily("trichord_release_info", "The release that answers", labels=["release"])
        if state.release:
            info.add_metric([state.release], 1)
        yield info
        yield _age("trichord_release_age_seconds", "Since the release was made", state.release_created_at, state.now)
        yield _age("trichord_newest_event_age_seconds", "Since the newest event", state.newest_event_at, state.now)
        behind = GaugeMetricFamily(
            "trichord_view_behind_seconds", "How far a view is behind the data's clock", labels=["view"]
        )
        for view, seconds in sorted(state.views_behind_s.items()):
            behind.add_metric([view], seconds)
        yield behind
        sizes = GaugeMetricFamily("trichord_held", "What is held in memory, by what it is", labels=["what"])
        for what, size in sorted(state.sizes.items()):
            sizes.add_metric([what], size)
        yield sizes
        began = state.since.timestamp()
        yield _counts("trichord_fallbacks", "Answers that had to do without something", "name", state.fallbacks, began)
        yield _counts("trichord_events", "Events posted", "outcome", state.events, began)


class _Named(Collector):
    """A registry whose every sample says which worker it is of."""

    def __init__(self, registry: CollectorRegistry, worker: str) -> None:
        self._registry, self._worker = registry, worker

    def collect(self) -> Iterator[Metric]:
        """All metrics of the registry."""
        for metric in self._registry.collect():
            metric.samples = [
                sample._replace(labels={**sample.labels, "worker": self._worker}) for sample in metric.samples
            ]
            yield metric


def _counts(name: str, text: str, label: str, counts: Mapping[str, int], began: float) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for value, count in counts.items():
        family.add_metric([value], count, created=began)
    return family


def histogram(name: str, text: str, label: str, times: Mapping[str, Times]) -> Metric:
    """Of values in buckets, by a label."""
    family = HistogramMetricFamily(name, text, labels=[label])
    for value, one in times.items():
        ends = [*map(str, one.ends), "+Inf"]
        family.add_metric([value], list(zip(ends, accumulate(one.counts), strict=True)), one.total)
    return family


def _age(name: str, text: str, since: datetime | None, now: datetime) -> Metric:
    family = GaugeMetricFamily(name, text)
    if since is not None:
        family.add_metric([], max((now - since).total_seconds(), 0.0))
    return family


class Counted:
    """Middleware that counts requests by endpoint, as the router writes it, and status."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, router: Router) -> None:
        self._app, self._metrics, self._router = app, metrics, router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and count at the end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            seconds = time.perf_counter() - started
            self._metrics.requested(_endpoint(self._router, scope), _method(scope), status, seconds)


def _endpoint(router: Router, scope: Scope) -> str:
    """The path of the route that a request met, with its parameters' names."""
    route = scope.get("route")
    path = getattr(route, "path", None)
    if path is None:
        found = (one for one in router.routes if one.matches(scope)[0] is not Match.NONE)
        path = getattr(next(found, None), "path", None)
    return path or ELSEWHERE


def _method(scope: Scope) -> str:
    """The method, of those that there are: clients make up others."""
    method = str(scope["method"])
    return method if method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE") else ELSEWHERE
