"""Token buckets: so many requests at once, and so many a second in the long run."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MAX_BUCKETS: Final = 10_000  # about 2 MB; the one that rested longest makes room, and is full by then


class Buckets:
    """A bucket for each asker, full at first; any number of threads may take from it.

    Args:
        rate: tokens a second that flow into a bucket.
        burst: tokens that it holds.
        clock: seconds, monotonic.
    """

    def __init__(self, rate: float, burst: int, *, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._mutex = threading.Lock()
        self._full_at: OrderedDict[str, float] = OrderedDict()  # when a bucket would be full again

    def take(self, asker: str) -> float:
        """Take one token; the seconds to wait until there is one, 0 where one was taken."""
        now = self._clock()
        with self._mutex:
            full_at = max(self._full_at.get(asker, now), now) + 1 / self._rate
            wait = full_at - now - self._burst / self._rate
            if wait > 1e-9:
                return wait
            self._full_at[asker] = full_at
            self._full_at.move_to_end(asker)
            if len(self._full_at) > MAX_BUCKETS:
                self._full_at.popitem(last=False)
        return 0.0
