"""A circuit breaker (Nygard, Release It!, 2007, ch. 5): what does not answer is not asked by everybody."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

FAILURES: Final = 3  # one after the other: a single refused connection is no outage

_log = logging.getLogger(__name__)


class Admission(Enum):
    """What becomes of a call: it is made, made without anybody waiting for it, or not made."""

    CALL = auto()
    PROBE = auto()
    NONE = auto()


@dataclass(eq=False)
class Call:
    """One that was admitted. limit_s: how long it may take. started: by the clock; None while it waits for a thread."""

    limit_s: float
    probe: bool = False
    started: float | None = None


class Breaker:
    """Closed, it admits every call. It opens after `FAILURES` in a row, or once a call has not ended in its time.

    Open, it admits a call as a probe every `retry_s`, if no more than `most` calls are on their way then. A probe that
    ends well in its time closes it; a call that ends well too late has the next probe made at once.

    Args:
        name: of what is called, for the log.
        most: calls that may be on their way when a probe is made, hung ones among them.
        retry_s: seconds between probes.
        clock: seconds that only grow.
    """

    def __init__(self, name: str, *, most: int, retry_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._most = most
        self._retry_s = retry_s
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[Call, None] = {}  # in the order they began
        self._late: set[Call] = set()  # of them, those that are not waited for any more
        self._failed = 0
        self._retry_at: float | None = None  # when the next probe is made; None while it is closed
        self._probe: Call | None = None

    @property
    def open(self) -> bool:
        """Whether calls are not made."""
        return self._retry_at is not None

    def admit(self, limit_s: float) -> tuple[Admission, Call]:
        """Whether to make a call that may take so long. Whoever makes it says when it begins and ends."""
        call, now = Call(limit_s), self._clock()
        with self._lock:
            if self._retry_at is None and any(self._overdue(one, now) for one in self._running):
                self._trip(now, "a call has not come back in its time")
            if self._retry_at is None:
                return Admission.CALL, call
            if self._probe is not None and self._overdue(self._probe, now):
                self._late.add(self._probe)
                self._probe = None
            if now < self._retry_at or self._probe is not None or len(self._running) >= self._most:
                return Admission.NONE, call
            call.probe, call.started = True, now
            self._probe = call
            self._retry_at = now + self._retry_s
            return Admission.PROBE, call

    def began(self, call: Call) -> None:
        """A thread makes the call now."""
        with self._lock:
            call.started = self._clock()
            self._running[call] = None

    def ended(self, call: Call, *, well: bool) -> None:
        """It came back. well: the store did its part."""
        now = self._clock()
        with self._lock:
            self._running.pop(call, None)
            late = call in self._late or self._overdue(call, now)
            self._late.discard(call)
            if self._probe is call:
                self._probe = None
            if self._retry_at is None:
                self._failed = 0 if well else self._failed + (not late)
                if self._failed >= FAILURES:
                    self._trip(now, f"{FAILURES} calls failed one after the other")
            elif well and late:
                self._retry_at = now
            elif well:
                self._late.update(self._running)  # these are of the time before
                self._retry_at, self._failed = None, 0
                _log.info("%s: answers again", self._name)

    def _trip(self, now: float, why: str) -> None:
        self._late.update(self._running)
        self._retry_at = now + self._retry_s
        _log.warning("%s: %s; it is not asked for now, but tried every %g s", self._name, why, self._retry_s)

    def _overdue(self, call: Call, now: float) -> bool:
        """Whether it is, and nobody knows that yet."""
        return call.started is not None and call not in self._late and now - call.started >= call.limit_s
