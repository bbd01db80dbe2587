"""How long an answer's stages take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from ranking.serving.payloads import Timings


class Stopwatch:
    """Milliseconds of an answer's stages."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage."""
        started = time.perf_counter()
        yield
        self._ms[name] = _since(started)

    def timings(self) -> Timings:
        """All stages and the whole up to now."""
        return Timings(**self._ms, total=_since(self._started))


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1e3, 3)
