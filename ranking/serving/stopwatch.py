"""How long an answer's stages take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ranking.serving.payloads import Timings


class Stopwatch:
    """Milliseconds of an answer's stages. budget_ms: that all of them may take together; None: any."""

    def __init__(self, budget_ms: float | None = None) -> None:
        self._started = time.perf_counter()
        self._budget_ms = budget_ms
        self._ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        yield
        self._ms[name] = _since(started)

    def ms(self, stage: str) -> float:
        """Of a stage that has ended."""
        return self._ms[stage]

    @property
    def left_ms(self) -> float | None:
        """Of the budget, below 0 once it is used up; None without one."""
        return None if self._budget_ms is None else self._budget_ms - (time.perf_counter() - self._started) * 1e3

    def timings(self) -> Timings:
        """All stages and the whole up to now."""
        return Timings(**self._ms, total=_since(self._started))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1e3, 3)
