"""Answers of one process are computed one after the other, and meanwhile any number of them wait for a store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self


class Turn:
    """Whoever computes an answer has it.

    Python's threads share one interpreter, which they take from each other whenever one of them computes outside of it:
    thousands of times an answer. Two at once take 24 ms of the processor each, one after the other 16; four 28
    (20,000 items, 500 candidates), and whoever came first waits for those who came later.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let others compute while this thread, which has the turn, waits for something."""
        self._lock.release()
        try:
            yield
        finally:
            self._lock.acquire()
