"""What every candidate generator is: fitted on interactions, it scores all items for a batch of queries."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from ranking.types import Codes, Floats, Interactions, Queries

NOT_OFFERED = -np.inf


class Generator(ABC):
    """Scores come from a query's history, moment and surroundings, never from a user's code alone.

    So a new event or an anonymous session counts at once, and a batch scores exactly as its single queries do.
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, train: Interactions) -> Self:
        """Learn from `train` alone; nothing else that lies in time after it may be read."""

    @abstractmethod
    def score(self, queries: Queries) -> Floats:
        """Scores float32 [q, n_items], higher is better; `NOT_OFFERED` where the generator has no opinion."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing, empty folder (safetensors and JSON)."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""


def top_k(scores: Floats, k: int) -> tuple[Codes, Floats]:
    """The k best items of each row, best first, ties by item code: codes int32 [q, k] and scores [q, k].

    Rows with fewer than k offered items are filled with `UNKNOWN` and `NOT_OFFERED`.
    """
    k = min(k, scores.shape[1])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    best = np.take_along_axis(scores, order, axis=1)
    return np.where(np.isneginf(best), -1, order).astype(np.int32), best
