"""The arrays that travel between generators, rankers and strategy, and the ids they stand for.

Inside `ranking` users and items are int32 codes into an `IdIndex`; ids come in and go out at the edges only.
Times are int64 microseconds since 1970 UTC.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from feature_repo import schema
from feature_repo.columns import distinct
from feature_repo.labels import ratings_of
from feature_repo.stores.packed_keys import KnownIds
from ranking.kernels import distinct_in_rows
from ranking.profiles import Profiles

Codes: TypeAlias = npt.NDArray[np.int32]
Times: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float32]
Bools: TypeAlias = npt.NDArray[np.bool_]
Strings: TypeAlias = npt.NDArray[np.object_]  # str or None
Parts: TypeAlias = npt.NDArray[np.int8]

UNKNOWN = -1
PARTS = tuple(schema.SplitPart)  # a part's code is its place here


@dataclass(frozen=True)
class IdIndex:
    """A fixed order of distinct ids; an id's code is its place in that order."""

    ids: tuple[str, ...]

    @classmethod
    def of(cls, ids: Iterable[str]) -> Self:
        """Distinct ids in ascending order."""
        return cls(tuple(sorted(set(ids))))

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def _code(self) -> dict[str, int]:
        return {one: code for code, one in enumerate(self.ids)}

    def codes(self, ids: Iterable[str]) -> Codes:
        """Codes of ids, `UNKNOWN` where an id is not in the index."""
        get = self._code.get
        return np.fromiter((get(one, UNKNOWN) for one in ids), np.int32)

    def codes_of(self, ids: pa.ChunkedArray) -> Codes:
        """The same of a column of many rows; each distinct id is looked up once."""
        column = distinct(ids)
        return column.of_rows(self.codes(column.values.to_pylist()))

    @cached_property
    def _arrow(self) -> pa.Array:
        return pa.array(self.ids, pa.string())

    @cached_property
    def known(self) -> KnownIds:
        """The ids as the feature store asks for them again and again; their places there are the codes."""
        return KnownIds(self._arrow)

    def arrow(self, codes: Codes) -> pa.Array:
        """Ids of codes as Arrow strings, empty for `UNKNOWN`."""
        unknown = codes == UNKNOWN
        if not unknown.any():
            return self._arrow.take(pa.array(codes))
        return pc.fill_null(self._arrow.take(pa.array(codes, mask=unknown)), "")

    def take(self, codes: Codes) -> list[str]:
        """Ids of codes."""
        return [self.ids[code] for code in codes.tolist()]


@dataclass(frozen=True)
class Interactions:
    """Events with a weight above 0, parallel arrays in ascending order of (occurred_at, tie).

    user, item: int32 [n] codes. occurred_at: int64 [n]. weight: float32 [n]. positive: bool [n].
    device, place: object [n], str or None. part: int8 [n] codes of `PARTS`, `UNKNOWN` where the dataset's own split
    does not name the event; None where there is no such split. rating: float32 [n], how much the user liked the item,
    on the dataset's own scale, NaN of an event that does not say; None where no kind of event can. What models learn
    from has the events of one moment in a seeded random order (`from_events`, `ties_shuffled`), so that no model can
    learn from the order of ids.
    """

    users: IdIndex
    items: IdIndex
    user: Codes
    item: Codes
    occurred_at: Times
    weight: Floats
    positive: Bools
    device: Strings
    place: Strings
    part: Parts | None = None
    rating: Floats | None = None

    @classmethod
    def from_events(
        cls, events: pa.Table, *, users: IdIndex, items: IdIndex, tie_seed: int = 0, rated: Collection[str] = ()
    ) -> Self:
        """Interactions of a table of `schema.LABELLED_EVENTS`; events of unknown users or items are left out.

        A further column `schema.PART` is the dataset's own split. rated: kinds whose values are ratings.
        """
        user, item = users.codes_of(events[schema.USER_ID]), items.codes_of(events[schema.ITEM_ID])
        at = events[schema.OCCURRED_AT].cast(pa.int64()).to_numpy()
        weight = events[schema.WEIGHT].to_numpy().astype(np.float32)
        order = _shuffled_ties(at, tie_seed)
        order = order[(user[order] >= 0) & (item[order] >= 0) & (weight[order] > 0)]
        return cls(
            users=users,
            items=items,
            user=user[order],
            item=item[order],
            occurred_at=at[order],
            weight=weight[order],
            positive=events[schema.POSITIVE].to_numpy(zero_copy_only=False)[order],
            device=_strings(events[schema.DEVICE])[order],
            place=_strings(events[schema.PLACE])[order],
            part=_parts(events)[order] if schema.PART in events.column_names else None,
            rating=ratings_of(events, rated)[order] if rated else None,
        )

    def __len__(self) -> int:
        return len(self.user)

    def where(self, mask: Bools | npt.NDArray[np.int64]) -> "Interactions":
        """The interactions that a mask chooses, or those at positions, in that order."""
        part = None if self.part is None else self.part[mask]
        rating = None if self.rating is None else self.rating[mask]
        met = self.user[mask], self.item[mask], self.occurred_at[mask], self.weight[mask]
        said = (*met, self.positive[mask], self.device[mask], self.place[mask])
        return Interactions(self.users, self.items, *said, part, rating)

    def ties_by_item(self) -> "Interactions":
        """Events of one moment by item id, those of one item as they stand: an order that anybody can repeat."""
        return self.where(np.lexsort((self.item, self.occurred_at)))

    def ties_shuffled(self, seed: int = 0) -> "Interactions":
        """Events of one moment in a seeded random order."""
        return self.where(_shuffled_ties(self.occurred_at, seed))

    def matrix(self, values: Floats | None = None) -> sparse.csr_matrix:
        """Users x items, float32; repeated pairs are summed; `values` [n] default to ones."""
        data = np.ones(len(self), np.float32) if values is None else values
        shape = (len(self.users), len(self.items))
        return sparse.csr_matrix((data, (self.user, self.item)), shape=shape)


def _parts(events: pa.Table) -> Parts:
    return IdIndex(PARTS).codes_of(events[schema.PART]).astype(np.int8)


def _strings(column: pa.ChunkedArray) -> Strings:
    shared = distinct(column)
    return shared.of_rows(np.array(shared.values.to_pylist(), object))


def _shuffled_ties(at: Times, seed: int) -> npt.NDArray[np.int64]:
    tie = np.random.default_rng(seed).permutation(len(at))
    return np.lexsort((tie, at))


@dataclass(frozen=True)
class Queries:
    """Requests, one row each: whose history, at which moment, in which surroundings.

    user: int32 [q], `UNKNOWN` for an anonymous one. at: int64 [q], the moment of the request (its hour and weekday
    count). as_of: int64 [q], at most `at`: nothing that happened at or after it is known. Live they are one; an
    evaluation with a global cutoff asks later than it knows. device, place: object [q].
    Histories in CSR form, each in time order: row r owns indptr[r]:indptr[r+1] of item (int32),
    occurred_at (int64), weight (float32), positive (bool).
    """

    user: Codes
    at: Times
    as_of: Times
    device: Strings
    place: Strings
    indptr: npt.NDArray[np.int64]
    item: Codes
    occurred_at: Times
    weight: Floats
    positive: Bools
    n_items: int

    @classmethod
    def from_interactions(
        cls,
        log: Interactions,
        user: Codes,
        at: Times,
        *,
        as_of: Times | None = None,
        device: Strings | None = None,
        place: Strings | None = None,
    ) -> Self:
        """Queries of users whose histories are what `log` holds of them strictly before `as_of` (default `at`)."""
        as_of = at if as_of is None else as_of
        by_user = np.argsort(log.user, kind="stable")  # stable: keeps time order within a user
        starts = np.searchsorted(log.user[by_user], np.arange(len(log.users) + 1))
        rows = []
        for one, moment in zip(user.tolist(), as_of.tolist(), strict=True):
            mine = by_user[starts[one] : starts[one + 1]] if one != UNKNOWN else by_user[:0]
            rows.append(mine[: np.searchsorted(log.occurred_at[mine], moment, side="left")])
        take = np.concatenate(rows) if rows else np.empty(0, np.int64)
        nothing = np.full(len(user), None, object)
        return cls(
            user=user,
            at=at,
            as_of=as_of,
            device=nothing if device is None else device,
            place=nothing if place is None else place,
            indptr=np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)]),
            item=log.item[take],
            occurred_at=log.occurred_at[take],
            weight=log.weight[take],
            positive=log.positive[take],
            n_items=len(log.items),
        )

    def __len__(self) -> int:
        return len(self.user)

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Events of each history, int64 [q]."""
        return self.indptr[1:] - self.indptr[:-1]

    @cached_property
    def row(self) -> npt.NDArray[np.int64]:
        """Row of each history entry, int64 [m]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def after(self, moments: Times) -> Bools:
        """Which moments, int64 [n], lie before each query's `as_of`, bool [q, n]."""
        return moments < self.as_of[:, None]

    def matrix(self, values: Floats | None = None) -> sparse.csr_matrix:
        """Queries x items, float32; `values` [m] default to ones; repeated items are summed."""
        return self.profiles(values).matrix()

    def profiles(self, values: Floats | None = None) -> Profiles:
        """Weights of the histories' items; `values` [m] default to ones; of repeated items they are summed."""
        weight = np.ones(len(self.item), np.float32) if values is None else values
        return Profiles.of(self.indptr, self.item, weight, self.n_items, distinct=self.distinct)

    @cached_property
    def distinct(self) -> bool:
        """Whether no history holds an item twice."""
        return bool(distinct_in_rows(self.indptr, self.item))

    @cached_property
    def memo(self) -> dict[object, Profiles]:
        """Profiles of these queries that are asked for again, by what they are made of."""
        return {}

    @cached_property
    def told(self) -> dict[object, Floats]:
        """Scores that are asked for again, by whose they are."""
        return {}

    def rows(self, start: int, stop: int) -> "Queries":
        """A contiguous batch of the queries."""
        span = slice(int(self.indptr[start]), int(self.indptr[stop]))
        return Queries(
            self.user[start:stop],
            self.at[start:stop],
            self.as_of[start:stop],
            self.device[start:stop],
            self.place[start:stop],
            self.indptr[start : stop + 1] - self.indptr[start],
            self.item[span],
            self.occurred_at[span],
            self.weight[span],
            self.positive[span],
            self.n_items,
        )

    def take(self, rows: npt.NDArray[np.int64]) -> "Queries":
        """The queries at some rows, in that order."""
        lengths = np.diff(self.indptr)[rows]
        indptr = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        entry = np.arange(indptr[-1]) + np.repeat(self.indptr[rows] - indptr[:-1], lengths)
        return Queries(
            self.user[rows],
            self.at[rows],
            self.as_of[rows],
            self.device[rows],
            self.place[rows],
            indptr,
            self.item[entry],
            self.occurred_at[entry],
            self.weight[entry],
            self.positive[entry],
            self.n_items,
        )
