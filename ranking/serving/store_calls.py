"""Calls of an online store that may hang, each waited for no longer than it may take."""

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from math import ceil
from queue import SimpleQueue
from typing import Final, Self, TypeVar

from feature_repo.errors import StoreUnavailableError
from feature_repo.serving_settings import Budget
from feature_repo.settings import OnlineStore, Settings
from ranking.serving.breaker import Admission, Breaker, Call

SERVERS: Final = frozenset({OnlineStore.REDIS, OnlineStore.POSTGRES})
PATIENCE_MS: Final = 10_000  # of calls that no live request waits for: the first one imports Feast
ENTITIES: Final = 100  # that a call may name in its plain time; more have more
ANSWERED, FAILED, LATE, SPARED = "answered", "failed", "late", "spared"
OUTCOMES: Final = (ANSWERED, FAILED, LATE, SPARED)

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


def is_server(settings: Settings) -> bool:
    """Whether the online store is a server, which may hang, and no file."""
    return settings.online_store in SERVERS


class StoreCalls:
    """Of one process, for any number of threads. Without threads of its own every call is made at once, unlimited.

    Args:
        name: for the log.
        budget: its limits.
        threads: of its own; calls that find none free wait for one as long as they may take.
    """

    def __init__(self, name: str, budget: Budget, *, threads: int) -> None:
        self._limit_s = budget.store_ms / 1e3
        self._retry_s = budget.store_retry_s
        self._threads = _Threads(f"store-{name}", threads) if threads else None
        self._breaker = Breaker(f"online store, {name}", most=max(threads - 1, 1), retry_s=budget.store_retry_s)
        self._lock = threading.Lock()
        self._counts = Counter(dict.fromkeys(OUTCOMES, 0))

    @classmethod
    def reads(cls, settings: Settings, name: str = "reads") -> Self:
        """Limited where the store is a server, or answers have a budget."""
        limited = is_server(settings) or settings.budget.ms is not None
        return cls(name, settings.budget, threads=settings.budget.store_threads if limited else 0)

    @classmethod
    def writes(cls, settings: Settings) -> Self:
        """Limited where the store is a server. One thread: a write that was given up cannot overtake a later one."""
        return cls("writes", settings.budget, threads=1 if is_server(settings) else 0)

    @classmethod
    def patient(cls, settings: Settings) -> Self:
        """For what no live request waits for; limited where the store is a server."""
        budget = settings.budget.model_copy(update={"store_ms": PATIENCE_MS})
        return cls("patient reads", budget, threads=2 if is_server(settings) else 0)

    @property
    def at_once(self) -> bool:
        """Whether calls are made by the thread that asks, so that nobody waits."""
        return self._threads is None

    @property
    def open(self) -> bool:
        """Whether the store is not asked, as it does not answer."""
        return self._breaker.open

    def counts(self) -> dict[str, int]:
        """Calls by `OUTCOMES`; `spared`: not made, or not waited for, as the store does not answer."""
        with self._lock:
            return dict(self._counts)

    def run(self, call: Callable[[], _T], *, within_s: float | None = None, entities: int = 1) -> _T:
        """What a call returns or raises.

        within_s: whoever asks waits no longer, even if the call may take longer. entities: how many it names.

        Raises:
            StoreUnavailableError: it did not come back in time, or the store did not answer lately and is not asked.
        """
        if self._threads is None:
            return self._made_at_once(call)
        if within_s is not None and within_s <= 0:
            self._count(LATE)
            raise StoreUnavailableError("the online store is not asked: the answer's time is used up before")
        limit_s = self._limit_s * ceil(max(entities, 1) / ENTITIES)
        admission, admitted = self._breaker.admit(limit_s)
        if admission is Admission.NONE:
            raise self._spared()
        future = self._threads.submit(lambda: self._watched(admitted, call))
        if admission is Admission.PROBE:
            raise self._spared()
        wait_s = limit_s if within_s is None else min(within_s, limit_s)
        try:
            found = future.result(wait_s)
        except TimeoutError:
            if not future.done():  # else it is the call's own
                future.cancel()
                self._count(LATE)
                raise StoreUnavailableError(
                    f"the online store did not answer within {wait_s * 1e3:.0f} ms; see that it runs, "
                    "or raise budget.store_ms or budget.ms"
                ) from None
            self._count(FAILED)
            raise
        except StoreUnavailableError:
            self._count(FAILED)
            raise
        self._count(ANSWERED)
        return found

    def _made_at_once(self, call: Callable[[], _T]) -> _T:
        try:
            found = call()
        except StoreUnavailableError:
            self._count(FAILED)
            raise
        self._count(ANSWERED)
        return found

    def _watched(self, admitted: Call, call: Callable[[], _T]) -> _T:
        """Make a call in a thread of ours, and let the breaker know."""
        self._breaker.began(admitted)
        well = True
        try:
            return call()
        except StoreUnavailableError:
            well = False
            raise
        finally:
            self._breaker.ended(admitted, well=well)

    def _spared(self) -> StoreUnavailableError:
        self._count(SPARED)
        return StoreUnavailableError(
            f"the online store is not asked: it did not answer lately; it is tried again every {self._retry_s:g} s"
        )

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts[outcome] += 1


class _Threads:
    """At most so many daemon threads, begun as needed. Unlike an executor's, hung ones keep no process alive."""

    def __init__(self, name: str, most: int) -> None:
        self._name, self._most = name, most
        self._lock = threading.Lock()
        self._begun = 0
        self._idle = threading.Semaphore(0)
        self._waiting: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def submit(self, call: Callable[[], _T]) -> "Future[_T]":
        future: Future[_T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                found = call()
            except BaseException as error:  # noqa: BLE001 - whatever it is, whoever waits for the call gets it
                future.set_exception(error)
            else:
                future.set_result(found)

        self._waiting.put(run)
        if not self._idle.acquire(blocking=False):
            with self._lock:
                if self._begun < self._most:
                    self._begun += 1
                    threading.Thread(target=self._work, name=f"{self._name}-{self._begun}", daemon=True).start()
        return future

    def _work(self) -> None:
        while True:
            self._waiting.get()()
            self._idle.release()
