"""What a user is used to, and how far a candidate lies from it: fame, era, kinds, and who else has met it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numba
import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.artifacts import save_arrays
from ranking.candidates.fitting import pace
from ranking.candidates.history import Memory
from ranking.candidates.state import State, pack
from ranking.rankers.features import FeatureMatrix, Part
from ranking.representation.content import ItemContent, category_shares
from ranking.types import Bools, Codes, Floats, Interactions, Queries

LATEST: Final = 5
FADING: Final = Memory(half_life_events=5)  # what "lately" means for kinds
KIND_PRIOR: Final = 5.0  # a kind counts as if so many of the user's average events had come before
SHARE_PRIOR: Final = 20.0  # a user's shares of kinds, as if so many events of everybody had come before
AUDIENCE_PRIOR: Final = 5.0  # an item's audience, as if so many average users had come before
LATELY_PRIOR: Final = 0.05  # of everybody's shares, in the latest ones

_REFERENCES: Final = ("usual", "liked", "latest")
_PARTS: Final = dict.fromkeys(
    (
        *(f"{name}_{how}_{part}" for name in ("fame", "era") for part in _REFERENCES for how in ("beyond", "apart")),
        *("kind_liking", "kind_share", "kind_lately", "fame", "pace", "lateness", "audience_beyond"),
    ),
    Part.BEHAVIOUR,
)
_FACTS: Final = ("fame", "pace", "era", "lateness", "audience", "share")
_YEAR_US: Final = 365.25 * 86_400e6

Places = npt.NDArray[np.integer]


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

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> FeatureMatrix:
        """Columns for candidates (row of the query, item code), NaN where there is nothing to compare.

        fame_beyond_*, era_beyond_*: the item's less the mean of the history (usual), of its positive events (liked), of
        its latest `LATEST` (latest); *_apart_*: the size of that. kind_*: mean over the item's categories of how much
        more than others the user likes them (liking), takes them (share), and takes them of late (lately; logarithms
        of ratios). audience_beyond: the mean log history length of the item's users less the query's own.
        """
        own = np.log(np.maximum(queries.lengths, 1)).astype(np.float32)
        values = np.empty((len(item), len(_PARTS)), np.float32)
        for first, fact in ((0, self.fame), (6, self.era)):
            _compare(values[:, first:], fact, row, item, queries.indptr, queries.item, queries.positive)
        kinds = self.kinds.indptr, self.kinds.indices, self.kinds.data
        _fill_means(values[:, 12:], *kinds, item, row, self._of_kinds(queries))
        values[:, 15:] = self._told[item]
        values[:, 18] -= own[row]
        return FeatureMatrix(tuple(_PARTS), values, _PARTS)

    @cached_property
    def _told(self) -> Floats:
        """What is told of items as it is, float32 [n, 4]: the last columns, of which the last is compared."""
        return np.stack([self.fame, self.pace, self.lateness, self.audience], axis=1)

    def _of_kinds(self, queries: Queries) -> Floats:
        """How much more each query likes, takes, and lately takes each kind, float32 [3, q, c]."""
        weight = np.stack([np.ones_like(queries.positive), queries.positive], axis=1, dtype=np.float32)
        met = self._kinds_of(queries.indptr, queries.item, weight)
        faded = FADING.profiles(queries)
        late = self._kinds_of(faded.indptr, faded.indices, faded.data[:, None])
        found = _compared_kinds(met, met.sum(axis=2), late[0], late[0].sum(axis=1), self.share)
        np.log(found[1:], out=found[1:])
        return np.asarray(found)

    def _kinds_of(self, indptr: npt.NDArray[np.int64], met: Places, weight: Floats) -> Floats:
        """Weighed sums of the kinds of histories in CSR form, float32 [w, q, c]; weight: float32 [m, w]."""
        history = indptr, met.astype(np.int32, copy=False), weight
        kinds = self.kinds
        return np.asarray(_sums(*history, kinds.indptr, kinds.indices, kinds.data, kinds.shape[1]))

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


@numba.njit(cache=True, nogil=True)
def _compared_kinds(met: Floats, total: Floats, late: Floats, of_late: Floats, share: Floats) -> Floats:
    """`Tastes._of_kinds` before logarithms are taken of the last two.

    met: of all events and of the positive ones, float32 [2, q, c]; late: of faded ones, [q, c]. total, of_late: the
    sums of these over the kinds, [2, q] and [q]. share: of each kind among all users' events, [c].
    """
    half, prior, pull = np.float32(KIND_PRIOR / 2), np.float32(KIND_PRIOR), np.float32(SHARE_PRIOR)
    drawn = np.float32(LATELY_PRIOR)
    found = np.empty((3, *late.shape), np.float32)
    for query in range(len(late)):
        usual = (total[1, query] + half) / (total[0, query] + prior)
        latest = max(of_late[query], np.float32(1e-9))
        for kind in range(len(share)):
            everybody = max(share[kind], np.float32(1e-6))
            taken = (met[0, query, kind] + pull * everybody) / (total[0, query] + pull)
            found[0, query, kind] = (met[1, query, kind] + prior * usual) / (met[0, query, kind] + prior) - usual
            found[1, query, kind] = taken / everybody
            found[2, query, kind] = (late[query, kind] / latest + drawn * everybody) / (taken + drawn * everybody)
    return found


@numba.njit(cache=True, nogil=True)
def _compare(
    found: Floats,
    fact: Floats,
    row: npt.NDArray[np.int64],
    item: Codes,
    indptr: npt.NDArray[np.int64],
    met: Codes,
    positive: Bools,
) -> None:
    """Fill in how far candidates lie beyond the mean of each of `_REFERENCES`, and the size of that, float32 [n, 6].

    NaN where a history has no such event of which the fact is known.
    """
    usual = np.full((len(indptr) - 1, 3), np.float32(np.nan))
    for query in range(len(usual)):
        total, count = np.zeros(3), np.zeros(3)
        for event in range(indptr[query], indptr[query + 1]):
            value = fact[met[event]]
            if not np.isnan(value):
                for number, counts in enumerate((True, positive[event], indptr[query + 1] - event <= LATEST)):
                    if counts:
                        total[number] += value
                        count[number] += 1
        for number in range(3):
            if count[number] > 0:
                usual[query, number] = total[number] / count[number]
    for place in range(len(item)):
        for number in range(3):
            beyond = fact[item[place]] - usual[row[place], number]
            found[place, 2 * number], found[place, 2 * number + 1] = beyond, abs(beyond)


@numba.njit(cache=True, nogil=True)
def _sums(
    indptr: npt.NDArray[np.int64], met: Places, weight: Floats, kinds: Places, kind: Places, part: Floats, n_kinds: int
) -> Floats:
    """`Tastes._kinds_of`, the items' kinds in CSR form too; sums in float64."""
    found = np.empty((weight.shape[1], len(indptr) - 1, n_kinds), np.float32)
    for number in range(weight.shape[1]):
        for query in range(len(indptr) - 1):
            total = np.zeros(n_kinds)
            for event in range(indptr[query], indptr[query + 1]):
                for entry in range(kinds[met[event]], kinds[met[event] + 1]):
                    total[kind[entry]] += np.float64(part[entry] * weight[event, number])
            found[number, query] = total
    return found


@numba.njit(cache=True, nogil=True)
def _fill_means(
    found: Floats, indptr: Places, indices: Places, share: Floats, item: Codes, row: npt.NDArray[np.int64], of: Floats
) -> None:
    """Fill in values [3, q, c] of each candidate's kinds, weighed by its shares of them (CSR), float32 [n, 3]."""
    for place in range(len(item)):
        first, second, third = np.float32(0), np.float32(0), np.float32(0)
        for entry in range(indptr[item[place]], indptr[item[place] + 1]):
            first += share[entry] * of[0, row[place], indices[entry]]
            second += share[entry] * of[1, row[place], indices[entry]]
            third += share[entry] * of[2, row[place], indices[entry]]
        found[place, 0], found[place, 1], found[place, 2] = first, second, third
