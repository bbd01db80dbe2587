"""The planted truth: how much every user wants every item at any moment and in any surroundings."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, cast

import numpy as np
from scipy.special import log_softmax

from pipelines.datasets.planted.latents import DAY_US, HOUR_US, START_US, ItemLatents, UserLatents, WorldConfig
from pipelines.datasets.planted.themes import DEVICES, PLACES, Theme
from ranking.artifacts import Json, load_arrays, load_json, save_arrays, save_json
from ranking.errors import ArtifactError, UnknownEntityError
from ranking.types import UNKNOWN, Codes, Floats, IdIndex, Times

FILE: Final = "truth"
MODEL: Final = 1  # to be raised with every change of the model or its media, so that old worlds are built again
HOUR, WEEKEND, DEVICE, PLACE, SEASON = 2.0, 1.6, 2.4, 3.2, 0.8  # strengths of the effects on a theme's weight
SEASON_DAYS: Final = 180  # a theme is out of fashion half of it after it was in fashion
FRESH, FRESH_DAYS = 2.0, 10  # a new item's advantage, and the time in which it falls by a factor e


@dataclass(frozen=True)
class Truth:
    """Everything that decides a choice. K themes; rows of items and users in the order of their index.

    mix: float32 [items, K]. quality: float32 [items]. created_at: int64 [items]. taste: float32 [users, K].
    habit: float32 [users, places + 1, K]. hour, weekend, season: float32 [K]. device: float32 [devices + 1, K].
    place: float32 [places + 1, K]. The last row of each effect is 0: an unknown device or place is code -1.
    """

    items: IdIndex
    users: IdIndex
    mix: Floats
    quality: Floats
    created_at: Times
    taste: Floats
    habit: Floats
    hour: Floats
    weekend: Floats
    season: Floats
    device: Floats
    place: Floats

    @classmethod
    def of(cls, items: ItemLatents, users: UserLatents, themes: Sequence[Theme]) -> Self:
        """The truth of drawn items and users."""
        n_users, _, n_themes = users.habit.shape
        return cls(
            items=IdIndex(tuple(f"i{row:05d}" for row in range(len(items.mix)))),
            users=IdIndex(tuple(f"u{row:05d}" for row in range(n_users))),
            mix=items.mix,
            quality=items.quality,
            created_at=items.created_at,
            taste=users.taste,
            habit=np.concatenate([users.habit, np.zeros((n_users, 1, n_themes), np.float32)], axis=1),
            hour=np.array([theme.hour for theme in themes], np.float32),
            weekend=np.array([theme.weekend for theme in themes], np.float32),
            season=np.array([theme.season for theme in themes], np.float32),
            device=_effect([theme.device for theme in themes], DEVICES),
            place=_effect([theme.place for theme in themes], PLACES),
        )

    def utility(self, user: Codes, at: Times, device: Codes, place: Codes) -> Floats:
        """Log choice weights float32 [q, items] up to a constant per row, -inf for items not yet created."""
        hours = (at % DAY_US / HOUR_US)[:, None]
        days = ((at - START_US) / DAY_US)[:, None]
        is_weekend = ((at // DAY_US + 3) % 7 >= 5)[:, None]  # 1970-01-01 was a Thursday
        themes = (
            self.taste[user]
            + self.habit[user, place]
            + HOUR * np.cos(2 * np.pi * (hours - self.hour) / 24)
            + WEEKEND * (is_weekend - 2 / 7) * self.weekend
            + DEVICE * self.device[device]
            + PLACE * self.place[place]
            + SEASON * np.cos(2 * np.pi * (days - self.season) / SEASON_DAYS)
        )
        age_d = (at[:, None] - self.created_at) / DAY_US
        utility = themes @ self.mix.T + self.quality + FRESH * np.exp(-np.maximum(age_d, 0) / FRESH_DAYS)
        return np.where(age_d >= 0, utility, -np.inf).astype(np.float32)

    def score(
        self, user_ids: Sequence[str], at_us: Times, device: Sequence[str | None], place: Sequence[str | None]
    ) -> Floats:
        """The oracle: log probability float32 [q, items] of each item as that user's next free choice.

        Columns in the order of `items`; -inf for items not yet created; items seen before are not excluded. A device
        or place of None has no effect. Raises `UnknownEntityError` for a user, device or place of another world.
        """
        user = self.users.codes(user_ids)
        if UNKNOWN in user:
            unknown = user_ids[int(np.argmin(user))]
            raise UnknownEntityError(f"user {unknown!r} is not of this world; its users are {self.users.ids[:3]}...")
        utility = self.utility(user, at_us, _codes(device, DEVICES, "device"), _codes(place, PLACES, "place"))
        scores: Floats = log_softmax(utility, axis=1).astype(np.float32)
        return scores

    def save(self, folder: Path, config: WorldConfig) -> None:
        """Write truth.safetensors and truth.json."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        items, users = fields.pop("items"), fields.pop("users")
        save_arrays(folder / f"{FILE}.safetensors", fields)
        ids = {"items": list(items.ids), "users": list(users.ids)}
        save_json(folder / f"{FILE}.json", {**_stamp(config), **ids})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the truth of a dataset folder; raises `ArtifactError` where it has none."""
        names = load_json(folder / f"{FILE}.json")
        arrays = load_arrays(folder / f"{FILE}.safetensors")
        if not isinstance(names, dict):
            raise ArtifactError(f"{folder / FILE}.json: not the truth of a planted world; build the world again")
        items, users = (IdIndex(tuple(cast("list[str]", names[of]))) for of in ("items", "users"))
        created_at = cast(Times, arrays.pop("created_at"))
        return cls(items=items, users=users, created_at=created_at, **cast("dict[str, Floats]", arrays))


def is_of(folder: Path, config: WorldConfig) -> bool:
    """Whether a folder holds the world of this config, built by this model."""
    if not (folder / f"{FILE}.json").exists():
        return False
    truth = load_json(folder / f"{FILE}.json")
    return isinstance(truth, dict) and _stamp(config).items() <= truth.items()


def _stamp(config: WorldConfig) -> dict[str, Json]:
    return {"config": dataclasses.asdict(config), "model": MODEL}


def _effect(of_theme: Sequence[dict[str, float]], values: Sequence[str]) -> Floats:
    """Effects float32 [values + 1, K], of mean 0 over the values; the last row is 0."""
    table = np.array([[effect[value] for effect in of_theme] for value in values], np.float32)
    return np.concatenate([table - table.mean(axis=0), np.zeros((1, len(of_theme)), np.float32)])


def _codes(names: Sequence[str | None], known: Sequence[str], what: str) -> Codes:
    for name in names:
        if name is not None and name not in known:
            raise UnknownEntityError(f"{what} {name!r} is not of this world; accepted: {', '.join(known)} or None")
    return np.array([UNKNOWN if name is None else known.index(name) for name in names], np.int32)
