"""What a user is used to, and how far a candidate lies from it: fame, era, kinds, and who else has met it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.artifacts import save_arrays
from ranking.candidates.fitting import pace
from ranking.candidates.history import Memory
from ranking.candidates.state import State, pack
from ranking.profiles import entries
from ranking.representation.content import category_shares
from ranking.types import Bools, Codes, Floats, Interactions, ItemContent, Queries

LATEST: Final = 5
FADING: Final = Memory(half_life_events=5)  # what "lately" means for kinds
KIND_PRIOR: Final = 5.0  # a kind counts as if so many of the user's average events had come before
SHARE_PRIOR: Final = 20.0  # a user's shares of kinds, as if so many events of everybody had come before
AUDIENCE_PRIOR: Final = 5.0  # an item's audience, as if so many average users had come before
LATELY_PRIOR: Final = 0.05  # of everybody's shares, in the latest ones

_FACTS: Final = ("fame", "pace", "era", "lateness", "audience", "share")
_YEAR_US: Final = 365.25 * 86_400e6


@dataclass(frozen=True)
class Tastes:
    """Facts of items, rows in the order of the item codes, from a log.

    fame: float32 [n], log(1 + events). pace: float32 [n], log of (1 + events) per day since the item was created, or
    since the log began, up to its end, and one more day. era: float32 [n], years since 1970 of `created_at`, NaN where
    unknown. lateness: float32 [n], mean place of the item in its users' histories, 0 first, 1 last. audience: float32
    [n], mean log(number of events) of its users. kinds: float32 CSR [n, c], a row sums to 1, or is empty without
    categories. share: float32 [c], share of the events.
    """

    fame: Floats
    pace: Floats
    era: Floats
    lateness: Floats
    audience: Floats
    kinds: sparse.csr_matrix
    share: Floats

    @classmethod
    def fit(cls, train: Interactions, content: ItemContent) -> Self:
        """Count in `train`; of the content are read moments of creation and categories."""
        n = len(train.items)
        events = np.bincount(train.item, minlength=n)
        count = np.bincount(train.user, minlength=len(train.users))
        by_user = np.argsort(train.user, kind="stable")  # stable: keeps time order within a user
        place = np.empty(len(train))
        place[by_user] = np.arange(len(train)) - (np.cumsum(count) - count)[train.user[by_user]]
        length = np.maximum(count, 1)[train.user]
        known = content.created_at > np.iinfo(np.int64).min
        kinds = category_shares(content.categories)
        total = np.asarray(kinds.T @ events)
        return cls(
            fame=np.log1p(events).astype(np.float32),
            pace=pace(train, content.created_at),
            era=np.where(known, content.created_at / _YEAR_US, np.nan).astype(np.float32),
            lateness=_item_means(train, (place + 0.5) / length, n),
            audience=_item_means(train, np.log(length), n),
            kinds=kinds,
            share=(total / max(float(total.sum()), 1.0)).astype(np.float32),
        )

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> dict[str, Floats]:
        """Columns float32 [n] for candidates (row of the query, item code), NaN where there is nothing to compare.

        fame_beyond_*, era_beyond_*: the item's less the mean of the history (usual), of its positive events (liked), of
        its latest `LATEST` (latest); *_apart_*: the size of that. kind_*: mean over the item's categories of how much
        more than others the user likes them (liking), takes them (share), and takes them of late (lately; logarithms
        of ratios). audience_beyond: the mean log history length of the item's users less the query's own.
        """
        columns: dict[str, Floats] = {}
        for name, fact in (("fame", self.fame), ("era", self.era)):
            for part, chosen in _parts(queries).items():
                beyond = fact[item] - _row_means(queries, fact, chosen)[row]
                columns |= {f"{name}_beyond_{part}": beyond, f"{name}_apart_{part}": np.abs(beyond)}
        liking, taken, lately = self._of_kinds(queries)
        entry, count = entries(self.kinds, item)
        candidate = np.repeat(np.arange(len(item)), count)
        kind, share = self.kinds.indices[entry], self.kinds.data[entry]
        for name, values in (("liking", liking), ("share", taken), ("lately", lately)):
            total = np.zeros(len(item), values.dtype)
            np.add.at(total, candidate, share * values[row[candidate], kind])
            columns[f"kind_{name}"] = total.astype(np.float32)
        own = np.log(np.maximum(np.diff(queries.indptr), 1)).astype(np.float32)
        columns["fame"], columns["pace"] = self.fame[item], self.pace[item]
        columns["lateness"] = self.lateness[item]
        columns["audience_beyond"] = self.audience[item] - own[row]
        return columns

    def _of_kinds(self, queries: Queries) -> tuple[Floats, Floats, Floats]:
        """How much more each query likes, takes, and lately takes each kind, float32 [q, c] each."""
        met = queries.profiles().through(self.kinds)
        liked = queries.profiles(queries.positive.astype(np.float32)).through(self.kinds)
        total = met.sum(axis=1, keepdims=True)
        usual = (liked.sum(axis=1, keepdims=True) + KIND_PRIOR / 2) / (total + KIND_PRIOR)
        liking = (liked + KIND_PRIOR * usual) / (met + KIND_PRIOR) - usual
        everybody = np.maximum(self.share, 1e-6)
        share = (met + SHARE_PRIOR * everybody) / (total + SHARE_PRIOR)
        late = FADING.profiles(queries).through(self.kinds)
        late /= np.maximum(late.sum(axis=1, keepdims=True), 1e-9)
        lately = np.log((late + LATELY_PRIOR * everybody) / (share + LATELY_PRIOR * everybody))
        return liking, np.log(share / everybody), lately

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        facts = {name: getattr(self, name) for name in _FACTS}
        save_arrays(folder / "tastes.safetensors", {**facts, **pack("kinds", self.kinds)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        state = State(folder / "tastes.safetensors")
        fame, pace, era, lateness, audience, share = (state.floats(name) for name in _FACTS)
        return cls(fame, pace, era, lateness, audience, state.matrix("kinds"), share)


def _item_means(train: Interactions, values: npt.NDArray[np.float64], n: int) -> Floats:
    """Mean of event values by item, drawn to the mean of all, float32 [n]."""
    overall = float(values.mean()) if len(values) else 0.0
    total = np.bincount(train.item, values, minlength=n) + AUDIENCE_PRIOR * overall
    return np.asarray(total / (np.bincount(train.item, minlength=n) + AUDIENCE_PRIOR), np.float32)


def _parts(queries: Queries) -> dict[str, Bools]:
    """Which events of the histories are meant, bool [m] each."""
    end = np.repeat(queries.indptr[1:], np.diff(queries.indptr))
    latest = end - np.arange(len(queries.item)) <= LATEST
    return {"usual": np.ones(len(queries.item), bool), "liked": queries.positive, "latest": latest}


def _row_means(queries: Queries, fact: Floats, chosen: Bools) -> Floats:
    """Mean of a fact over the chosen events of each history that have it, float32 [q]; NaN without any."""
    values = fact[queries.item]
    counted = chosen & ~np.isnan(values)
    rows = queries.row[counted]
    count = np.bincount(rows, minlength=len(queries))
    total = np.bincount(rows, values[counted], minlength=len(queries))
    mean: Floats = np.divide(total, count, out=np.full(len(queries), np.nan), where=count > 0).astype(np.float32)
    return mean
