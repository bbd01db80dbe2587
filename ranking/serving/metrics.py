"""What a server measures of itself, for Prometheus. No label names a user, an item or a request.

Each process measures itself alone and says its name in the label `worker`, which the setting of that name gives: where
several serve one home, scrape each of them. Prometheus' own multi-process files are not used, as they know no metrics
that are computed when they are read.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Match, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ranking.serving.payloads import Receipt, Response

BUCKETS: Final = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
ELSEWHERE: Final = "other"  # the endpoint of a path that there is not: clients make up endless ones


@dataclass(frozen=True)
class State:
    """What is read at a scrape.

    release: empty before one is loaded. views_behind_s: by view, how far its online rows are behind the data's clock.
    """

    now: datetime
    release: str
    release_created_at: datetime | None
    newest_event_at: datetime | None
    views_behind_s: dict[str, float]
    sizes: dict[str, int]


class Metrics:
    """Of one process. worker: its name. state: what is so at this moment."""

    def __init__(self, *, worker: str, state: Callable[[], State]) -> None:
        self._worker = worker
        self._registry = CollectorRegistry()
        self._registry.register(_AtScrape(state))
        self._stages = Histogram(
            "trichord_answer_seconds",
            "Time that a stage of an answer takes, and the whole",
            ["stage"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._requests = Counter(
            "trichord_requests", "Requests answered", ["endpoint", "method", "status"], registry=self._registry
        )
        self._latency = Histogram(
            "trichord_request_seconds",
            "Time from a request's head to its answer's end",
            ["endpoint"],
            registry=self._registry,
            buckets=BUCKETS,
        )
        self._fallbacks = Counter(
            "trichord_fallbacks", "Answers that had to do without something", ["name"], registry=self._registry
        )
        self._events = Counter("trichord_events", "Events posted", ["outcome"], registry=self._registry)
        for outcome in ("accepted", "duplicate", "rejected", "unmatched"):
            self._events.labels(outcome)  # 0 from the start: a rate needs a first value

    def answered(self, response: Response) -> None:
        """Count an answer."""
        for stage, ms in response.timings_ms:
            self._stages.labels(stage).observe(ms / 1e3)
        for name in response.fallbacks:
            self._fallbacks.labels(name).inc()

    def received(self, receipt: Receipt) -> None:
        """Count a batch of events."""
        self._events.labels("accepted").inc(receipt.accepted)
        self._events.labels("duplicate").inc(receipt.duplicates)
        self._events.labels("rejected").inc(len(receipt.rejected))
        self._events.labels("unmatched").inc(len(receipt.unmatched))

    def requested(self, endpoint: str, method: str, status: int, seconds: float) -> None:
        """Count a request over HTTP."""
        self._requests.labels(endpoint, method, str(status)).inc()
        self._latency.labels(endpoint).observe(seconds)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(_Named(self._registry, self._worker))


class _AtScrape(Collector):
    """Metrics that are read, not counted."""

    def __init__(self, state: Callable[[], State]) -> None:
        self._state = state

    def describe(self) -> Iterable[Metric]:
        """Nothing: it would read the state when the server starts."""
        return []

    def collect(self) -> Iterator[Metric]:
        """As of now."""
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
