"""What models have in common whose fitted state is a factor row an item, and that solve for a query's factors."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from ranking.candidates.generator import Generator, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.products import products_with_all, products_with_some
from ranking.candidates.state import load_state, save_state
from ranking.profiles import Profiles
from ranking.types import Bools, Codes, Floats, Queries


class Remembering(Protocol):
    """A config with a memory."""

    @property
    def memory(self) -> Memory:
        """What of a query's history counts."""


Config = TypeVar("Config", bound=Remembering)


class FoldedIn(Generator, Generic[Config]):
    """An item's score is the product of its factors and the query's, which are solved for in double precision.

    So a query among others is answered to the bit as it is alone.
    """

    kind: ClassVar[type[object]]  # of the config, which load reads

    def __init__(self, config: Config) -> None:
        self.config = config

    @abstractmethod
    def users(self, profiles: Profiles, items: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Factors [q, f] of queries, given the items' [n_items, f]."""

    def holding(self, items: Floats, known: Bools) -> Self:
        """With what was learned: factors float32 [n_items, f], and which items have any, bool [n_items]."""
        self._items, self._known = items, known
        self._exact = items.astype(np.float64)
        self._gram = self._exact.T @ self._exact
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores near 1 for items like those of the profile."""
        wanted, answered = self._wanted(queries)
        return offer_only(answered & self._known, products_with_all(self._items, wanted))

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        wanted, answered = self._wanted(queries)
        return offer_only(answered & self._known[items], products_with_some(self._items, items, wanted))

    def _wanted(self, queries: Queries) -> tuple[Floats, Bools]:
        """The queries' factors, float32 [q, f], and which ones have any, bool [q, 1]."""
        profiles = self.config.memory.profiles(queries)
        return self.users(profiles, self._exact).astype(np.float32), profiles.answered[:, None]

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, {"items": self._items, "known": self._known})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, cls.kind)
        model = cls(config)  # type: ignore[arg-type]  # kind is Config's type, which no annotation can say of a class
        return model.holding(state.floats("items"), state.bools("known"))
