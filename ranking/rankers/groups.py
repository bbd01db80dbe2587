"""What people like this user choose: items by attribute of the users' table, such as age band, country, occupation.

Of people whose own history is short it says most; beside everybody's choices it is a small, certain help.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Final, Self, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from feature_repo import schema
from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.rankers.features import FeatureMatrix, Part
from ranking.types import Codes, Floats, Interactions

FILE: Final = "groups.json"  # the only one of a release that names users
MAX_VALUES: Final = 50  # an attribute of more different values (a postcode, a name) is left out
BANDS: Final = 8  # numbers of more different values than this are cut into so many bands of equal size
PRIOR: Final = 10.0  # an item counts as if the group had chosen it so often as everybody does

Named: TypeAlias = dict[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class Groups:
    """attributes: name -> each user's value as a string, in the order of `users`. rows: name -> value -> row of lifts.

    lifts: float32 [groups, n], log of how much more often than everybody a group chooses each item.
    """

    users: tuple[str, ...]
    attributes: Named
    rows: dict[str, dict[str, int]]
    lifts: Floats

    @classmethod
    def fit(cls, train: Interactions, users: pa.Table) -> Self:
        """Count in `train`; users: user_id and attribute columns, of which the fitting ones are taken."""
        named = attributes_of(users)
        ids = users[schema.USER_ID].to_pylist()
        place = dict(zip(ids, range(len(ids)), strict=True))
        known = np.array([place.get(user, len(ids)) for user in train.users.ids], np.int64)[train.user]
        events = np.bincount(train.item, minlength=len(train.items)).astype(np.float64)
        rows: dict[str, dict[str, int]] = {}
        lifts: list[Floats] = []
        for name, values in named.items():
            member = np.array([*values, None], object)[known]
            rows[name] = {}
            for value in sorted({one for one in values if one is not None}):
                mine = train.item[member == value]
                chosen = np.bincount(mine, minlength=len(train.items))
                expected = events * len(mine) / max(len(train), 1)
                rows[name][value] = len(lifts)
                lifts.append(np.log((chosen + PRIOR) / (expected + PRIOR)).astype(np.float32))
        stacked = np.stack(lifts) if lifts else np.zeros((0, len(train.items)), np.float32)
        return cls(tuple(ids), named, rows, stacked)

    def features(self, row: npt.NDArray[np.int64], item: Codes, users: Sequence[str]) -> FeatureMatrix:
        """Columns group_NAME and their sum for candidates (row of the query; item code); NaN for an unknown user.

        users: id of each query's user. No column where there is no attribute.
        """
        if not self.attributes:
            return FeatureMatrix.nothing(len(item))
        mine = np.array([self._rows_of(one) for one in users], np.int64).reshape(len(users), len(self.attributes))
        return FeatureMatrix(tuple(self._parts), np.asarray(_lifts_and_sum(self.lifts, mine, row, item)), self._parts)

    def _rows_of(self, user: str) -> list[int]:
        """The lifts of the groups that a user belongs to, one an attribute; -1 where that is unknown."""
        place = self._place.get(user)
        if place is None:
            return [-1] * len(self.attributes)
        return [self.rows[name].get(values[place] or "", -1) for name, values in self.attributes.items()]

    @cached_property
    def _parts(self) -> dict[str, Part]:
        """Of the columns, in their order."""
        return dict.fromkeys((*(f"group_{name}" for name in self.attributes), "group_all"), Part.BEHAVIOUR)

    @cached_property
    def _place(self) -> dict[str, int]:
        return dict(zip(self.users, range(len(self.users)), strict=True))

    def save(self, folder: Path) -> None:
        """Write everything."""
        save_arrays(folder / "groups.safetensors", {"lifts": self.lifts})
        save_as(folder / FILE, _Saved(self.users, self.attributes, self.rows), _Saved)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        saved = load_as(folder / FILE, _Saved)
        lifts = load_arrays(folder / "groups.safetensors")["lifts"].astype(np.float32, copy=False)
        return cls(saved.users, saved.attributes, saved.rows, lifts)


@numba.njit(cache=True, nogil=True)
def _lifts_and_sum(lifts: Floats, mine: npt.NDArray[np.int64], row: npt.NDArray[np.int64], item: Codes) -> Floats:
    """Lifts of candidates in the groups of their queries, int64 [q, a], NaN for -1, and the known ones' sum."""
    found = np.full((len(item), mine.shape[1] + 1), np.float32(np.nan))
    for place in range(len(item)):
        total = np.float32(0)
        for number, group in enumerate(mine[row[place]]):
            if group >= 0:
                found[place, number] = lifts[group, item[place]]
                total += found[place, number]
        found[place, -1] = total
    return found


def without_users(path: Path, users: Collection[str]) -> tuple[bytes, int]:
    """What a saved `FILE` says without some users and their attributes, and how many of them it names."""
    saved = load_as(path, _Saved)
    kept = [user not in users for user in saved.users]
    attributes = {name: tuple(compress(values, kept)) for name, values in saved.attributes.items()}
    fewer = _Saved(tuple(compress(saved.users, kept)), attributes, saved.rows)
    return TypeAdapter(_Saved).dump_json(fewer, indent=2) + b"\n", len(kept) - sum(kept)


@dataclass(frozen=True)
class _Saved:
    users: tuple[str, ...]
    attributes: Named
    rows: dict[str, dict[str, int]]


def attributes_of(users: pa.Table) -> Named:
    """Columns of at most `MAX_VALUES` values as strings, numbers of many values as bands; others are left out."""
    found: Named = {}
    for name in users.column_names:
        column = users[name]
        if name == schema.USER_ID or pa.types.is_nested(column.type) or pa.types.is_temporal(column.type):
            continue
        distinct = pc.count_distinct(column).as_py()
        if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
            found[name] = _banded(column) if distinct > BANDS else _strings(column)
        elif 1 < distinct <= MAX_VALUES:
            found[name] = _strings(column)
    return found


def _strings(column: pa.ChunkedArray) -> tuple[str | None, ...]:
    return tuple(None if one is None else str(one) for one in column.to_pylist())


def _banded(column: pa.ChunkedArray) -> tuple[str | None, ...]:
    values = np.array([np.nan if one is None else float(one) for one in column.to_pylist()])
    known = values[~np.isnan(values)]
    edges = np.unique(np.quantile(known, np.linspace(0, 1, BANDS + 1)[1:-1]))
    band = np.searchsorted(edges, values, side="right")
    return tuple(None if np.isnan(one) else f"{place}" for one, place in zip(values, band.tolist(), strict=True))
