"""What is drawn once per world: the items' mixes and the users' tastes and routines (see `synthetic` for the model)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np

from pipelines.datasets.planted.themes import PLACES
from ranking.types import Codes, Floats, Times

START: Final = datetime(2025, 3, 3, tzinfo=UTC)  # a Monday
START_US: Final = int(START.timestamp()) * 1_000_000
HOUR_US: Final = 3_600_000_000
DAY_US: Final = 24 * HOUR_US

LATE_SHARE: Final = 0.45  # of the items arrive during the 90 days, evenly: a tenth in the last 20
QUALITY_SD: Final = 0.7
LOVED_THEMES: Final = (2, 6)  # how many themes a user loves, from and below
LOVE: Final = 3.2
TASTE_SD: Final = 0.8
HABIT_SD: Final = 0.9


@dataclass(frozen=True)
class WorldConfig:
    """How large a world, and which one. Events come out within a tenth of `n_events`."""

    seed: int = 0
    n_items: int = 2000
    n_users: int = 1000
    n_events: int = 60_000
    days: int = 90


SMALL: Final = WorldConfig(n_items=120, n_users=80, n_events=3000)  # for tests: built in seconds


@dataclass(frozen=True)
class Routine:
    """A situation that people get into again and again. `days`: the weekdays (Monday = 0) on which it occurs."""

    hour: float
    days: tuple[int, ...]
    device: str
    place: str


_WEEK, _WEEKEND, _ALL = (0, 1, 2, 3, 4), (5, 6), (0, 1, 2, 3, 4, 5, 6)
ROUTINES: Final = (
    Routine(7.5, _WEEK, "phone", "transit"),
    Routine(18.0, _WEEK, "phone", "transit"),
    Routine(10.5, _WEEK, "desktop", "work"),
    Routine(14.5, _WEEK, "desktop", "work"),
    Routine(20.5, _ALL, "tv", "home"),
    Routine(23.5, _ALL, "phone", "home"),
    Routine(22.0, _ALL, "tablet", "home"),
    Routine(6.5, _ALL, "phone", "outdoors"),
    Routine(11.5, _WEEKEND, "tablet", "home"),
    Routine(15.0, _WEEKEND, "phone", "outdoors"),
    Routine(17.0, _WEEKEND, "tv", "home"),
    Routine(12.5, _WEEK, "tablet", "work"),
)


@dataclass(frozen=True)
class ItemLatents:
    """mix: float32 [n, K], rows sum to 1, mostly zeros. quality: float32 [n]. created_at: int64 [n]."""

    mix: Floats
    quality: Floats
    created_at: Times


@dataclass(frozen=True)
class UserLatents:
    """taste: float32 [n, K]. habit: float32 [n, places, K], what the place adds to that user's taste.

    routines: int32 [n, 3], each user's situations. shift_h: float32 [n], by which the user lives later than others.
    """

    taste: Floats
    habit: Floats
    routines: Codes
    shift_h: Floats


def draw_items(config: WorldConfig, n_themes: int, rng: np.random.Generator) -> ItemLatents:
    """Items of one to three themes each; most exist from the start, the others arrive up to the last day."""
    n = config.n_items
    n_of_item = rng.choice([1, 2, 3], n, p=[0.3, 0.5, 0.2])
    mix = np.zeros((n, n_themes), np.float32)
    for row, count in enumerate(n_of_item.tolist()):
        mix[row, rng.permutation(n_themes)[:count]] = rng.dirichlet(np.full(count, 2.0))
    age_d = np.where(rng.random(n) < LATE_SHARE, -rng.uniform(0, config.days, n), rng.uniform(0, 300, n))
    return ItemLatents(
        mix=mix,
        quality=(QUALITY_SD * rng.standard_normal(n)).astype(np.float32),
        created_at=START_US - (age_d * DAY_US).astype(np.int64),
    )


def draw_users(config: WorldConfig, n_themes: int, rng: np.random.Generator) -> UserLatents:
    """Users who love a few themes, each with three routines."""
    n = config.n_users
    taste = TASTE_SD * rng.standard_normal((n, n_themes))
    for row, count in enumerate(rng.integers(*LOVED_THEMES, n).tolist()):
        taste[row, rng.permutation(n_themes)[:count]] += LOVE * rng.uniform(0.6, 1.4, count)
    return UserLatents(
        taste=taste.astype(np.float32),
        habit=(HABIT_SD * rng.standard_normal((n, len(PLACES), n_themes))).astype(np.float32),
        routines=np.stack([rng.permutation(len(ROUTINES))[:3] for _ in range(n)]).astype(np.int32),
        shift_h=rng.normal(0, 0.7, n).astype(np.float32),
    )


def stream(config: WorldConfig, *key: int) -> np.random.Generator:
    """The random numbers of one part of the world, independent of those of every other part."""
    return np.random.default_rng([config.seed, *key])
