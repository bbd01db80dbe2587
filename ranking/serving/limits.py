"""How long an answer may take, and which of its steps are left out to keep to that."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ranking.serving.stopwatch import Stopwatch
from ranking.serving.store_calls import StoreCalls
from ranking.serving.turn import Turn

_T = TypeVar("_T")

WEIGHT: Final = 0.1  # of the newest time in a stage's running mean
FORGIVEN: Final = 0.9  # of that mean remains when a stage is left out: else one slow answer could end it for good


class Pace:
    """How long stages take lately: exponentially weighted means. Threads may lose each other's times: no harm."""

    def __init__(self) -> None:
        self._ms: dict[str, float] = {}

    def note(self, stage: str, ms: float) -> None:
        """It took so long."""
        before = self._ms.get(stage, ms)
        self._ms[stage] = before + WEIGHT * (ms - before)

    def left_out(self, stage: str) -> None:
        """It was left out as it seemed to take too long."""
        self._ms[stage] = self.of(stage) * FORGIVEN

    def of(self, *stages: str) -> float:
        """Milliseconds that these stages take together; 0 for those of which nothing is known."""
        return sum(self._ms.get(stage, 0.0) for stage in stages)


@dataclass(frozen=True)
class Limits:
    """Of the answers of one release.

    budget_ms: of an answer, from its request's arrival at the engine; None: any. No stage is cut off: the feature store
    is not waited for any longer, and the ranker not asked, once what comes after would be late.
    turn: whose it is to compute, of the process.
    """

    calls: StoreCalls
    budget_ms: float | None = None
    pace: Pace = field(default_factory=Pace)
    turn: Turn = field(default_factory=Turn)

    def read(self, call: Callable[[], _T], *, within_s: float | None) -> _T:
        """What a call of the feature store returns or raises, by whoever has the turn; `StoreCalls.run`."""
        with nullcontext() if self.calls.at_once else self.turn.aside():
            return self.calls.run(call, within_s=within_s)

    def of_features(self, watch: Stopwatch) -> float | None:
        """Seconds that the feature store may take, so that ranking still has its time; None: as long as it may."""
        if watch.left_ms is None:
            return None
        return (watch.left_ms - self.pace.of("rank", "strategy")) / 1e3

    def may_rank(self, watch: Stopwatch) -> bool:
        """Whether ranking would end in time."""
        if watch.left_ms is None or watch.left_ms > self.pace.of("rank", "strategy"):
            return True
        self.pace.left_out("rank")
        return False

    def note(self, watch: Stopwatch, *, ranked: bool) -> None:
        """Learn from an answer how long its later stages take."""
        if self.budget_ms is not None:
            self.pace.note("strategy", watch.ms("strategy"))
            if ranked:
                self.pace.note("rank", watch.ms("rank"))
