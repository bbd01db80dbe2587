"""Items of a handful of events, each user's share of them by how often the user chooses such items."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.artifacts import Arrays
from ranking.candidates.cold_start import Audience, standardised
from ranking.candidates.generator import NOT_OFFERED, Generator, Places, offer_only, ranks
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.located import Located
from ranking.candidates.sequences import followers
from ranking.candidates.state import load_state, pack, save_state
from ranking.profiles import Profiles, columns_of
from ranking.types import Bools, Codes, Floats, Interactions, Queries, Times

SMOOTHING: Final = (0.5, 10.0)  # obscure items and items that are added to every history, against chance in short ones


@dataclass(frozen=True)
class ScarceConfig:
    """Hyper-parameters of `Scarce`; measured on window 1 of P2, see docs/evaluation.md.

    max_events: items with more training events than this are not offered.
    obscure_events: an item of the history with at most so many events says that its user looks beyond the known.
    places: items offered to a user whose history is as obscure as the mean of the training users; others get more or
    fewer in proportion, at most `most`.
    window, pair_half_life: which events of a user are near to each other, as in `CovisitationConfig`.
    content_weight: of the content's two opinions beside what the few events say; each is standardised.
    memory: what of a query's history the co-visits are counted with.
    taste: what of it the content is compared with.
    """

    max_events: int = 5
    obscure_events: int = 20
    places: int = 20
    most: int = 100
    window: int = 100
    pair_half_life: float = 20.0
    content_weight: float = 0.5
    memory: Memory = field(default_factory=lambda: Memory(half_life_events=50, last=200))
    taste: Memory = field(default_factory=lambda: Memory(feedback=Feedback.POSITIVE))


class Scarce(Generator):
    """What the few events of an item say, and its content; offered are the query's best alone, so many as suit it.

    Three opinions are standardised over the scarce items of a query and added: co-visits with the history (cosines of
    decayed pairs in either order), how well the audience that content predicts agrees with the history's remembered
    ones, and the cosine in the aligned space. Models of all items bury such items, as their evidence is thin: on
    MovieLens 100K 2 % of the relevant ones stand among the first 200 of their fusion.
    Items of the history are not offered, and nothing is to a history without an event.

    Args:
        config: hyper-parameters.
        vectors: float32 [n_items, d], rows at length 1, or 0 for items without content.
        created_at: int64 [n_items], microseconds UTC; the least int64 where unknown: such an item always exists.
        audience: as `ColdStart` takes it.
    """

    name: ClassVar[str] = "scarce"

    def __init__(self, config: ScarceConfig, vectors: Floats, created_at: Times, audience: Audience) -> None:
        self.config = config
        self.space = Located(vectors)
        self.created_at = created_at
        self.audience = audience

    def fit(self, train: Interactions) -> Self:
        """Learn from `train`."""
        config = self.config
        events = np.bincount(train.item, minlength=len(train.items))
        self._among((events <= config.max_events) & ((events > 0) | self.space.filled))
        self._obscure: Bools = events <= config.obscure_events
        later = followers(train, window=config.window, half_life=config.pair_half_life, touching=self._scarce)
        scale = sparse.diags(np.maximum(events, 1).astype(np.float32) ** -0.5)
        near = (scale @ (later + later.T) @ scale).tocsr()[:, self._columns]
        self._company = sparse.csr_matrix(near).astype(np.float32)
        met = Profiles.of_matrix(_met(train))
        self._mean_share = np.array([self._shares(met).mean() if len(train) else 1.0], np.float32)
        return self

    def _among(self, scarce: Bools) -> None:
        """Answer with these items alone, bool [n_items]: their codes, and each one's column or -1."""
        self.only = self._scarce = scarce
        self._columns = np.flatnonzero(scarce)
        self._column = columns_of(scarce)

    def _shares(self, met: Profiles) -> npt.NDArray[np.float64]:
        """How obscure the items are that each row holds, float64 [rows]."""
        obscure, items = SMOOTHING
        held = np.zeros(len(met.indices) + 1, np.int64)
        np.cumsum(self._obscure[met.indices], out=held[1:])
        begin, end = met.indptr[:-1], met.indptr[1:]
        return np.asarray((held[end] - held[begin] + obscure) / (end - begin + items))

    def score(self, queries: Queries) -> Floats:
        """Sum of the opinions for the query's best scarce items, `NOT_OFFERED` beyond its places."""
        return self._scores(queries, np.arange(queries.n_items))

    def score_some(self, queries: Queries, items: Codes) -> Floats:
        """The same of some items, the best of these."""
        return self._scores(queries, items)

    def _scores(self, queries: Queries, items: Places | Codes) -> Floats:
        """Of items, ascending codes [m], by those of them that are scarce: float32 [q, m]."""
        met = queries.profiles()
        at = np.flatnonzero(self._scarce[items])
        codes = items[at]
        offered = queries.after(self.created_at[codes]) & met.answered[:, None] & (met.dense()[:, codes] == 0)
        scores = offer_only(offered, self._opinions(queries, offered, codes))
        places = np.round(self.config.places * self._shares(met) / self._mean_share[0])
        rank = ranks(scores, self.config.most)
        found = np.full((len(queries), len(items)), NOT_OFFERED, np.float32)
        found[:, at] = offer_only((rank > 0) & (rank <= places[:, None]), scores)
        return found

    def _opinions(self, queries: Queries, offered: Bools, codes: Places | Codes) -> Floats:
        company = self.config.memory.profiles(queries).through(self._company)[:, self._column[codes]]
        agreement = self.audience.agreeing(queries, self.config.taste) @ self.audience.predicted[codes].T
        nearness = self.space.tastes(queries, self.config.taste) @ self.space.vectors[codes].T
        content = standardised(agreement, offered) + standardised(nearness, offered)
        return standardised(company, offered) + np.float32(self.config.content_weight) * content

    def save(self, folder: Path) -> None:
        """Write the fitted state."""
        arrays: Arrays = {
            "vectors": self.space.vectors,
            "created_at": self.created_at,
            "predicted": self.audience.predicted,
            "remembered": self.audience.remembered,
            "scarce": self._scarce,
            "obscure": self._obscure,
            "mean_share": self._mean_share,
            **pack("company", self._company),
        }
        save_state(folder, self.config, arrays)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        config, state = load_state(folder, ScarceConfig)
        audience = Audience(state.floats("predicted"), state.floats("remembered"))
        model = cls(config, state.floats("vectors"), state.times("created_at"), audience)
        model._among(state.bools("scarce"))
        model._obscure = state.bools("obscure")
        model._mean_share, model._company = state.floats("mean_share"), state.matrix("company")
        return model


def _met(train: Interactions) -> sparse.csr_matrix:
    """Users with any event x items, bool."""
    met = train.matrix().astype(bool)
    return met[np.diff(met.indptr) > 0]
