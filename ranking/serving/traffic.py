"""What a server has answered since it started: counts, and times of the latest requests."""

import threading
from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from pydantic import BaseModel

from ranking.serving.payloads import Receipt, Response, Timings

LATEST: Final = 2000  # requests whose times are kept
OUTCOMES: Final = ("accepted", "duplicate", "rejected", "unmatched")
SHOWN: Final = 120  # of them, whose totals are told one by one


class StageTime(BaseModel):
    """Milliseconds of one stage, by the latest requests."""

    stage: str
    p50: float
    p99: float


class TrafficReport(BaseModel):
    """Since the server started.

    stages: empty before the first request. latest_ms: totals of the newest requests, the oldest of them first.
    fallbacks: how many answers had to do without each thing.
    """

    since: datetime
    requests: int
    stages: list[StageTime]
    latest_ms: list[float]
    fallbacks: dict[str, int]
    events_accepted: int
    events_duplicate: int
    events_rejected: int


class Traffic:
    """Counts of one server; any number of threads may add to them."""

    def __init__(self, since: datetime) -> None:
        self.since = since
        self._lock = threading.Lock()
        self._latest: deque[Timings] = deque(maxlen=LATEST)
        self._requests = 0
        self._fallbacks: Counter[str] = Counter()
        self._events: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))  # a rate needs a first value

    def answered(self, response: Response) -> None:
        """Count an answer to a request for recommendations."""
        with self._lock:
            self._requests += 1
            self._latest.append(response.timings_ms)
            self._fallbacks.update(response.fallbacks)

    def received(self, receipt: Receipt) -> None:
        """Count a batch of events."""
        with self._lock:
            self._events["accepted"] += receipt.accepted
            self._events["duplicate"] += receipt.duplicates
            self._events["rejected"] += len(receipt.rejected)
            self._events["unmatched"] += len(receipt.unmatched)

    def fallbacks(self) -> dict[str, int]:
        """Answers by what they had to do without."""
        with self._lock:
            return dict(self._fallbacks)

    def events(self) -> dict[str, int]:
        """Posted events by their outcome, each of `OUTCOMES`."""
        with self._lock:
            return dict(self._events)

    def report(self) -> TrafficReport:
        """All of it, as of now."""
        with self._lock:
            latest, requests = list(self._latest), self._requests
        events = self.events()
        return TrafficReport(
            since=self.since,
            requests=requests,
            stages=[_time(stage, latest) for stage in Timings.model_fields] if latest else [],
            latest_ms=[one.total for one in latest[-SHOWN:]],
            fallbacks=self.fallbacks(),
            events_accepted=events["accepted"],
            events_duplicate=events["duplicate"],
            events_rejected=events["rejected"],
        )


def _time(stage: str, latest: list[Timings]) -> StageTime:
    p50, p99 = p50_and_p99([getattr(one, stage) for one in latest])
    return StageTime(stage=stage, p50=p50, p99=p99)


def p50_and_p99(ms: Sequence[float]) -> tuple[float, float]:
    """Of at least one time, to the microsecond."""
    p50, p99 = np.percentile(ms, (50, 99)).tolist()
    return round(p50, 3), round(p99, 3)
