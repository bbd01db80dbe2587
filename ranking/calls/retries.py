"""How often, and after which pauses, a call is tried again."""

import random
from dataclasses import dataclass, field
from typing import Final

from ranking.calls.errors import ProblemError, TrichordError, UnreachableError

_AGAIN: Final = frozenset({429, 503})


@dataclass(frozen=True)
class Retries:
    """How often and after which pauses a call is tried again.

    pause_s: before the first; each further one is twice as long, up to longest_s. A random half of each is left out,
    so that clients that failed together do not come back together. `Retry-After` wins where it is longer, and ends the
    tries where it is beyond `longest_s`.
    """

    times: int = 4
    pause_s: float = 0.1
    longest_s: float = 10.0
    draw: random.Random = field(default_factory=random.Random, repr=False)

    def pause(self, tried: int, error: TrichordError) -> float:
        """Seconds to wait after so many tries; raises the error where there is nothing to wait for."""
        again = isinstance(error, UnreachableError) or (isinstance(error, ProblemError) and error.status in _AGAIN)
        wanted = error.retry_after_s if isinstance(error, ProblemError) else None
        if not again or tried > self.times or (wanted or 0.0) > self.longest_s:
            raise error
        mine = min(self.pause_s * 2.0 ** (tried - 1), self.longest_s) * self.draw.uniform(0.5, 1.0)
        return max(mine, wanted or 0.0)
