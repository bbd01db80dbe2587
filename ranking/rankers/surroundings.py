"""What kind of item is wanted when, where and on what: directions in the aligned space.

A context's direction is how far the items chosen in it lie, on average, from the items chosen at all. An item's fit is
its place along that direction, which also new items have, while counts of past choices say nothing of them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.rankers.space import products
from ranking.types import Codes, Floats, Interactions, Queries, Strings, Times

PRIOR: Final = 50.0  # a context counts as if so many choices of no direction had come before
HOURS_AROUND: Final = 3.0  # a choice speaks of the hours around its own, half as much at this distance

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US


@dataclass(frozen=True)
class Surroundings:
    """Directions, float32 [values, d] each: of 24 hours (UTC), of weekday and weekend, of known devices and places."""

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
        chosen = vectors[train.item]
        around = np.exp2(-((_hours_apart() / HOURS_AROUND) ** 2)).astype(np.float32)
        return cls(
            hour=_directions(around[_hour(train.occurred_at)], chosen),
            weekend=_directions(_one_hot(_is_weekend(train.occurred_at), 2), chosen),
            device=_directions(_one_hot(_places(train.device, devices), len(devices)), chosen),
            place=_directions(_one_hot(_places(train.place, places), len(places)), chosen),
            devices=devices,
            places=places,
        )

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries, vectors: Floats) -> dict[str, Floats]:
        """Columns float32 [n] for candidates (row of the query, ascending; item code); NaN for an unknown context."""
        wanted = {
            "hour_fit": _looked_up(self.hour, _hour(queries.at)),
            "weekend_fit": _looked_up(self.weekend, _is_weekend(queries.at)),
            "device_fit": _looked_up(self.device, _places(queries.device, self.devices)),
            "place_fit": _looked_up(self.place, _places(queries.place, self.places)),
        }
        fits = products(vectors, np.stack(list(wanted.values()), axis=1), row, item)
        columns = dict(zip(wanted, fits.T, strict=True))
        columns["context_fit"] = np.nansum(fits, axis=1)
        return columns

    def save(self, folder: Path) -> None:
        """Write directions and names."""
        arrays = {"hour": self.hour, "weekend": self.weekend, "device": self.device, "place": self.place}
        save_arrays(folder / "surroundings.safetensors", arrays)
        names = {"devices": self.devices, "places": self.places}
        save_as(folder / "surroundings.json", names, dict[str, tuple[str, ...]])

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "surroundings.safetensors")
        hour, weekend, device, place = (
            arrays[name].astype(np.float32) for name in ("hour", "weekend", "device", "place")
        )
        names = load_as(folder / "surroundings.json", dict[str, tuple[str, ...]])
        return cls(hour, weekend, device, place, names["devices"], names["places"])


def _directions(membership: Floats, chosen: Floats) -> Floats:
    """Shrunk differences of means, float32 [values, d]. membership: [n, values]; chosen: [n, d]."""
    weight = membership.sum(axis=0)[:, None]
    overall = chosen.mean(axis=0) if len(chosen) else np.zeros(chosen.shape[1], np.float32)
    return np.asarray((membership.T @ chosen - weight * overall) / (weight + PRIOR), np.float32)


def _looked_up(directions: Floats, value: npt.NDArray[np.int64]) -> Floats:
    nowhere = np.full((1, directions.shape[1]), np.nan, np.float32)
    return np.concatenate([directions, nowhere])[value]  # -1 is the last: nowhere


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
