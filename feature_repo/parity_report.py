"""What a replay of served vectors found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

EXACT, ROUNDED, FLYING, OPEN, DIFFERENT = "equal", "within_float32", "in_flight", "open_window", "different"
SHOWN: Final = 20  # differences; all are counted


@dataclass(frozen=True)
class Difference:
    """One value that the offline path does not confirm."""

    feature: str
    user_id: str
    item_id: str
    at: str
    served: object
    offline: object
    request_id: str
    release: str


@dataclass
class Report:
    """What a replay found.

    features: for each, how many vectors were `EXACT` and so on. late_events: those that occurred before and were
    received after the reading of `late_vectors` vectors; late_features: how many vectors training now sees otherwise.
    """

    requests: int = 0
    vectors: int = 0
    features: dict[str, Counter[str]] = field(default_factory=dict)
    late_events: int = 0
    late_vectors: int = 0
    late_features: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def __add__(self, other: "Report") -> "Report":
        """Both, as of one replay."""
        names = [*self.features, *(name for name in other.features if name not in self.features)]
        return Report(
            requests=self.requests + other.requests,
            vectors=self.vectors + other.vectors,
            features={n: self.features.get(n, Counter()) + other.features.get(n, Counter()) for n in names},
            late_events=self.late_events + other.late_events,
            late_vectors=self.late_vectors + other.late_vectors,
            late_features=self.late_features + other.late_features,
            differences=[*self.differences, *other.differences],
        )

    def count(self, outcome: str) -> int:
        """Values of an outcome, over all features."""
        return sum(counted[outcome] for counted in self.features.values())

    @property
    def passed(self) -> bool:
        """Whether no value differs without one of the known reasons."""
        return self.count(DIFFERENT) == 0
