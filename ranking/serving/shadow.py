"""Shadow mode: a candidate release answers live requests too, after the live one has, and nobody sees it."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
from pydantic import BaseModel

from feature_repo import serving_settings
from feature_repo.errors import FeatureRepoError
from ranking.errors import ArtifactError, NotReadyError, RankingError
from ranking.serving.metrics import Times
from ranking.serving.payloads import Asker, Request, Response
from ranking.serving.traffic import p50_and_p99

LATEST: Final = 2000  # compared answers whose times and overlaps are told
AGAIN_S: Final = 60  # after how long a release that cannot be loaded is tried again
OVERLAPS: Final = tuple(tenth / 10 for tenth in range(11))  # ends of a histogram's buckets
COMPARED, DROPPED, LOADING, FAILED = "compared", "dropped", "loading", "failed"
OUTCOMES: Final = (COMPARED, DROPPED, LOADING, FAILED)
LIVE, SHADOW = "live", "shadow"

_log = logging.getLogger(__name__)


class Side(BaseModel):
    """One of both releases, by the compared answers. p50_ms, p99_ms: None before the first one."""

    release: str
    p50_ms: float | None
    p99_ms: float | None
    fallbacks: dict[str, int]


class ShadowReport(BaseModel):
    """Since the server started. fault: why the candidate does not answer, empty if it does.

    compared: answers of both. dropped: requests that found too many waiting. loading: those that came before the
    candidate was in memory. failed: those it could not answer. overlap: mean overlap@k of the latest; None before the
    first.
    """

    share: float
    compared: int
    dropped: int
    loading: int
    failed: int
    fault: str
    overlap: float | None
    live: Side
    shadow: Side


@dataclass(frozen=True)
class _Job:
    request: Asker
    response: Response
    now: datetime


@dataclass(frozen=True)
class _Pair:
    """overlap: of both lists; milliseconds of both answers."""

    overlap: float
    live_ms: float
    shadow_ms: float


class Shadow:
    """Compares in a thread of its own; `offer` only puts a request into a queue, or drops it.

    Args:
        setting: which release, and how many requests.
        answer: the candidate's answer to a request as of a moment; NotReadyError while it is being loaded.
    """

    def __init__(self, setting: serving_settings.Shadow, answer: Callable[[Asker, datetime], Response]) -> None:
        self.release = setting.release
        self._share = setting.share
        self._answer = answer
        self._waiting: queue.Queue[_Job] = queue.Queue(setting.waiting)
        self._lock = threading.Lock()
        self._counts = Counter(dict.fromkeys(OUTCOMES, 0))
        self._latest: deque[_Pair] = deque(maxlen=LATEST)
        self._fallbacks: dict[str, Counter[str]] = {LIVE: Counter(), SHADOW: Counter()}
        self._times = {LIVE: Times(), SHADOW: Times()}
        self._overlaps = Times(OVERLAPS)
        self._fault = ""
        self._again_at = 0.0
        self._live = ""
        self._begun = False

    def offer(self, request: Asker, response: Response, now: datetime) -> None:
        """Take an answer that was just given into account, or not; returns at once.

        Who names the items to be ranked is passed over: both lists would hold the same. now: up to when that answer
        knew everything.
        """
        drawn = int(response.request_id[:8], 16) < self._share * 16**8  # by its random id: nothing is locked
        if self.release in (None, response.release) or not drawn or not isinstance(request, Request):
            return
        if not self._begun:
            self._begin()
        try:
            self._waiting.put_nowait(_Job(request, response, now))
        except queue.Full:
            self._count(DROPPED)

    def wait(self) -> None:
        """Come back when everything that was offered is compared."""
        self._waiting.join()

    def counts(self) -> dict[str, int]:
        """Requests by `OUTCOMES`."""
        with self._lock:
            return dict(self._counts)

    def fallbacks(self) -> dict[tuple[str, str], int]:
        """Compared answers by side and what they had to do without."""
        with self._lock:
            return {(side, name): n for side, of in self._fallbacks.items() for name, n in of.items()}

    def times(self) -> tuple[dict[str, Times], Times]:
        """Histograms of seconds by side, and of overlaps."""
        with self._lock:
            return {side: one.copy() for side, one in self._times.items()}, self._overlaps.copy()

    def report(self) -> ShadowReport | None:
        """All of it; None where no release is to be compared."""
        if self.release is None:
            return None
        with self._lock:
            latest, counts = list(self._latest), dict(self._counts)
            fallbacks = {side: dict(of) for side, of in self._fallbacks.items()}
        return ShadowReport(
            share=self._share,
            **counts,
            fault=self._fault,
            overlap=round(float(np.mean([one.overlap for one in latest])), 4) if latest else None,
            live=_side(self._live, [one.live_ms for one in latest], fallbacks[LIVE]),
            shadow=_side(self.release, [one.shadow_ms for one in latest], fallbacks[SHADOW]),
        )

    def _begin(self) -> None:
        with self._lock:
            if not self._begun:
                self._begun = True
                threading.Thread(target=self._work, name="shadow", daemon=True).start()

    def _work(self) -> None:
        while True:
            job = self._waiting.get()
            try:
                self._compare(job)
            finally:
                self._waiting.task_done()

    def _compare(self, job: _Job) -> None:
        if time.monotonic() < self._again_at:
            self._count(FAILED)
            return
        try:
            other = self._answer(job.request, job.now)
        except NotReadyError:
            self._count(LOADING)
            return
        except Exception as error:  # noqa: BLE001 - a candidate may fail in any way: that is what is found out here
            self._failed(error)
            return
        pair = _Pair(overlap(job.response, other), job.response.timings_ms.total, other.timings_ms.total)
        with self._lock:
            self._fault = ""
            self._counts[COMPARED] += 1
            self._live = job.response.release
            self._latest.append(pair)
            for side, one in ((LIVE, job.response), (SHADOW, other)):
                self._fallbacks[side].update(one.fallbacks)
                self._times[side].add(one.timings_ms.total / 1e3)
            self._overlaps.add(pair.overlap)

    def _failed(self, error: Exception) -> None:
        told = str(error) if isinstance(error, RankingError | FeatureRepoError) else f"{type(error).__name__}: {error}"
        if told != self._fault:
            _log.warning("shadow release %s does not answer: %s", self.release, told)
        self._fault = told
        if isinstance(error, ArtifactError):
            self._again_at = time.monotonic() + AGAIN_S
        self._count(FAILED)

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts[outcome] += 1


def overlap(one: Response, other: Response) -> float:
    """overlap@k: items in both lists / length of the longer one; 1 for two empty ones.

    Both may be shorter than k, where there is not so much to show.
    """
    items, others = ({item.item_id for item in response.items} for response in (one, other))
    longest = max(len(items), len(others))
    return len(items & others) / longest if longest else 1.0


def _side(release: str, ms: list[float], fallbacks: dict[str, int]) -> Side:
    if not ms:
        return Side(release=release, p50_ms=None, p99_ms=None, fallbacks=fallbacks)
    p50, p99 = p50_and_p99(ms)
    return Side(release=release, p50_ms=p50, p99_ms=p99, fallbacks=fallbacks)
