"""What comes next to what: decayed transitions between the items of one user's sequence."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from scipy import sparse

from ranking.candidates.generator import ItemToItem, Places, offer_only
from ranking.candidates.history import Memory
from ranking.candidates.sequences import followers
from ranking.candidates.speakers import Speakers
from ranking.candidates.state import load_state, pack, save_state
from ranking.types import Bools, Codes, Floats, Interactions, Queries


@dataclass(frozen=True)
class CovisitationConfig:
    """Hyper-parameters of `Covisitation`; the defaults were best on MovieLens-100K's validation window.

    window: places that two events of a user may lie apart. pair_half_life: apart by so many, they count half.
    pair_half_life_days: or when so many days lie between them, too; None: days do not matter.
    backward: what a transition counts for the way back.
    source_power, target_power: transitions are divided by these powers of both items' numbers of events, 0.5 and 0.5
    for a cosine; a lower target power favours popular items.
    memory: what of a query's history counts.
    """

    window: int = 40
    pair_half_life: float = 10.0
    backward: float = 0.3
    source_power: float = 0.5
    target_power: float = 0.3
    memory: Memory = field(default_factory=lambda: Memory(half_life_events=5, last=40))
    pair_half_life_days: float | None = None


class Covisitation(ItemToItem):
    """Co-visitation with decay by distance, the recall stage of session recommenders (OTTO challenge 2022).

    A pair counts the weight of its later event, so that kinds of events count as the dataset says. Items that never
    came near one of the history are not offered.
    """

    name: ClassVar[str] = "covisitation"

    def __init__(self, config: CovisitationConfig) -> None:
        self.config = config

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        config = self.config
        chosen = config.memory.training(train)
        events = np.maximum(np.bincount(chosen.item, minlength=len(train.items)), 1).astype(np.float32)
        forward = followers(
            chosen,
            window=config.window,
            half_life=config.pair_half_life,
            half_life_days=config.pair_half_life_days,
        )
        both = forward + config.backward * forward.T
        source, target = events**-config.source_power, events**-config.target_power
        transitions = sparse.csr_matrix(sparse.diags(source) @ both @ sparse.diags(target)).astype(np.float32)
        self._transitions = Speakers(transitions)
        return self

    def score(self, queries: Queries) -> Floats:
        """Scores: normalised transitions from the history's items, summed."""
        scores = self._transitions.heard(queries, self.config.memory.profiles)
        return offer_only(scores > 0, scores)

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items."""
        scores = self._transitions.heard(queries, self.config.memory.profiles)[:, items]
        return offer_only(scores > 0, scores)

    def first(self, query: Queries, offered: Bools, k: int) -> Places | None:
        """Those that the history's items lead to."""
        return self._transitions.first(query, self.config.memory.profiles, offered, k)

    def between(self, sources: Codes, targets: Codes) -> Floats:
        """Normalised transitions."""
        return self._transitions.between(sources, targets)

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        save_state(folder, self.config, pack("transitions", self._transitions.matrix))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, CovisitationConfig)
        model = cls(config)
        model._transitions = Speakers(state.matrix("transitions"))
        return model
