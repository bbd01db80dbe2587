"""What kind of item is wanted when, where and on what: directions in the aligned space.

A context's direction tells the items chosen in it from the items chosen at all. An item's fit is its place along that
direction, which also new items have, while counts of past choices say nothing of them.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import numba
import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.candidates.products import filled, filled_at, products
from ranking.types import Bools, Codes, Floats, Interactions, Queries, Strings, Times

PRIOR: Final = 50.0  # a context counts as if so many choices of no direction had come before
RIDGE: Final = 0.1  # of the average variance, added to each: directions of few choices are not told from noise
MOMENTS: Final = 8  # parts of the log, of as many events each, whose fashions are told apart
FITS: Final = ("hour_fit", "weekend_fit", "device_fit", "place_fit", "fashion_fit", "context_fit")
HOURS_AROUND: Final = 3.0  # a choice speaks of the hours around its own, half as much at this distance

_ARRAYS: Final = ("centre", "moments", "fashion", "hour", "weekend", "device", "place")
_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


@dataclass(frozen=True, eq=False)  # told apart by identity, as what queries keep of them
class Surroundings:
    """Directions, float32 [values, d] each: of 24 hours (UTC), of weekday and weekend, of known devices and places.

    fashion: those of parts of the log, whose middles are `moments`, int64 [m], ascending. centre: float32 [d], the mean
    of what was chosen. Source: Fisher's linear discriminant (1936), with shrunk means and a ridge on the variance: a
    fit is the log odds of the surroundings given the item, less a constant, where items lie normally around the means.
    """

    centre: Floats
    moments: Times
    fashion: Floats
    hour: Floats
    weekend: Floats
    device: Floats
    place: Floats
    devices: tuple[str, ...]
    places: tuple[str, ...]

    @classmethod
    def fit(cls, train: Interactions, vectors: Floats) -> Self:
        """From the choices of `train`; vectors: float32 [n_items, d]."""
        devices, places = _known(train.device), _known(train.place)
        train = train.where(filled(vectors)[train.item])
        chosen = vectors[train.item]
        around = np.exp2(-((_hours_apart() / HOURS_AROUND) ** 2)).astype(np.float32)
        part = np.arange(len(train)) * MOMENTS // max(len(train), 1)
        of = _Directions.of(chosen)
        return cls(
            centre=of.centre,
            moments=np.array([int(np.median(train.occurred_at[part == one])) for one in np.unique(part)], np.int64),
            fashion=of.told_apart(_one_hot(part, len(np.unique(part)))),
            hour=of.told_apart(around[_hour(train.occurred_at)]),
            weekend=of.told_apart(_one_hot(_is_weekend(train.occurred_at), 2)),
            device=of.told_apart(_one_hot(_places(train.device, devices), len(devices))),
            place=of.told_apart(_one_hot(_places(train.place, places), len(places))),
            devices=devices,
            places=places,
        )

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries, vectors: Floats) -> Floats:
        """Columns float32 [n, f] as `FITS`, for candidates (row of the query; item code); NaN for an unknown context.

        context_fit: the sum of what is known of hour, weekend, device and place.
        """
        directions = np.stack(list(self.directions(queries).values()), axis=1)
        fits = products(vectors, directions, row, item)
        return np.asarray(_centred(fits, directions @ self.centre, row, filled_at(vectors, item)))

    def directions(self, queries: Queries) -> dict[str, Floats]:
        """What each query's surroundings want, float32 [q, d] each, context first; NaN where they are unknown."""
        return {
            "hour_fit": self.hour[_hour(queries.at)],
            "weekend_fit": self.weekend[_is_weekend(queries.at)],
            "device_fit": self._device_or_none[_places(queries.device, self.devices)],
            "place_fit": self._place_or_none[_places(queries.place, self.places)],
            "fashion_fit": self._fashion_at(queries.at),
        }

    def wanted(self, queries: Queries) -> Floats:
        """The sum of those that are known, float32 [q, d], kept with the queries."""
        found = queries.told.get(self)
        if found is None:
            directions = np.stack(list(self.directions(queries).values()))
            found = queries.told[self] = np.where(np.isnan(directions), np.float32(0), directions).sum(axis=0)
        return found

    @cached_property
    def _device_or_none(self) -> Floats:
        return _or_none(self.device)

    @cached_property
    def _place_or_none(self) -> Floats:
        return _or_none(self.place)

    def _fashion_at(self, at: Times) -> Floats:
        """Directions between those of the nearest moments, [q, d]; before the first and after the last theirs."""
        return np.asarray(_between(self.moments, self.fashion, at))

    def save(self, folder: Path) -> None:
        """Write directions and names."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_arrays(folder / "surroundings.safetensors", arrays)
        names = {"devices": self.devices, "places": self.places}
        save_as(folder / "surroundings.json", names, dict[str, tuple[str, ...]])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "surroundings.safetensors")
        centre, fashion, hour, weekend, device, place = (
            arrays[name].astype(np.float32, copy=False) for name in _ARRAYS if name != "moments"
        )
        names = load_as(folder / "surroundings.json", dict[str, tuple[str, ...]])
        moments = arrays["moments"].astype(np.int64)
        return cls(centre, moments, fashion, hour, weekend, device, place, names["devices"], names["places"])


@dataclass(frozen=True)
class _Directions:
    """chosen: float32 [n, d], less their mean `centre`. precision: float64 [d, d], inverse of their variance."""

    centre: Floats
    chosen: Floats
    precision: npt.NDArray[np.float64]

    @classmethod
    def of(cls, chosen: Floats) -> Self:
        """Of the vectors that were chosen, [n, d]."""
        d = chosen.shape[1]
        centre = chosen.mean(axis=0) if len(chosen) else np.zeros(d, np.float32)
        centred = chosen - centre
        variance = (centred.T @ centred).astype(np.float64) / max(len(chosen), 1)
        ridge = max(RIDGE * float(np.trace(variance)) / d, 1e-9)
        return cls(centre, centred, np.linalg.inv(variance + ridge * np.eye(d)))

    def told_apart(self, membership: Floats) -> Floats:
        """Directions float32 [values, d] from shrunk means; membership: [n, values]."""
        weight = membership.sum(axis=0)[:, None]
        apart = membership.T @ self.chosen / (weight + PRIOR)
        return np.asarray(apart @ self.precision, np.float32)


@numba.njit(cache=True, nogil=True)
def _centred(along: Floats, middle: Floats, row: npt.NDArray[np.int64], filled: Bools) -> Floats:
    """`Surroundings.features`; along: places along the directions, [n, 5]; middle: where those of the queries begin.

    filled: of each candidate, bool [n].
    """
    found = np.empty((len(row), along.shape[1] + 1), np.float32)
    for place in range(len(row)):
        context = np.float32(0)
        for number in range(along.shape[1]):
            fit = along[place, number] - middle[row[place], number]
            fit = fit if filled[place] or np.isnan(fit) else np.float32(0)  # without content: at the centre
            found[place, number] = fit
            if number < along.shape[1] - 1 and not np.isnan(fit):  # the fashion is no part of a request
                context += fit
        found[place, -1] = context
    return found


@numba.njit(cache=True, nogil=True)
def _between(moments: Times, fashion: Floats, at: Times) -> Floats:
    """`Surroundings._fashion_at`: moments int64 [m], ascending, fashion float32 [m, d]; NaN where there is none."""
    found = np.full((len(at), fashion.shape[1]), np.float32(np.nan))
    last = len(moments) - 1
    for query in range(len(at) if last >= 0 else 0):
        after = min(max(np.searchsorted(moments, at[query]), min(1, last)), last)
        before = max(after - 1, 0)
        share = (at[query] - moments[before]) / max(moments[after] - moments[before], 1)
        later = np.float32(min(max(share, 0.0), 1.0))
        for dimension in range(fashion.shape[1]):
            earlier = (np.float32(1) - later) * fashion[before, dimension]
            found[query, dimension] = earlier + later * fashion[after, dimension]
    return found


def _or_none(directions: Floats) -> Floats:
    """The directions, and NaN in a last row, which is that of -1."""
    return np.concatenate([directions, np.full((1, directions.shape[1]), np.nan, np.float32)])


def _hour(at: Times) -> npt.NDArray[np.int64]:
    return np.asarray(at % _DAY_US // _HOUR_US)


def _is_weekend(at: Times) -> npt.NDArray[np.int64]:
    return np.asarray((at // _DAY_US + 3) % 7 >= 5, np.int64)  # 1970-01-01 was a Thursday


def _hours_apart() -> npt.NDArray[np.int64]:
    """Distance around the clock of each hour to each, [24, 24]."""
    apart = np.abs(np.subtract.outer(np.arange(24), np.arange(24)))
    return np.asarray(np.minimum(apart, 24 - apart), np.int64)


def _known(names: Strings) -> tuple[str, ...]:
    return tuple(sorted({name for name in names.tolist() if name is not None}))


def _places(names: Strings, known: tuple[str, ...]) -> npt.NDArray[np.int64]:
    place = {name: number for number, name in enumerate(known)}
    return np.array([-1 if name is None else place.get(name, -1) for name in names.tolist()], np.int64)


def _one_hot(value: npt.NDArray[np.int64], n: int) -> Floats:
    """Membership float32 [len(value), n]; a value of -1 is in none."""
    return np.asarray(value[:, None] == np.arange(n), np.float32)
