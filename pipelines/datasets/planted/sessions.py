"""Who comes when, and in which surroundings: visits in the users' routines."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pipelines.datasets.planted.latents import DAY_US, HOUR_US, ROUTINES, START_US, UserLatents, WorldConfig
from pipelines.datasets.planted.themes import DEVICES, PLACES

IDLE_SHARE: Final = 0.03  # users without any event
LATE_SHARE: Final = 0.3  # users who come during the world's days
ACTIVITY_SD: Final = 1.2  # of the log number of a user's sessions: many have a few, a few have very many
MAX_SESSIONS: Final = 60
EVENTS_PER_SESSION: Final = 7.8  # measured, those sessions counted that fall out of the days; asks for n_events
STAY: Final = 0.55  # chance that a user's next session is in the same routine


class Session(NamedTuple):
    """One visit: when it starts (us), who, and in which surroundings (codes)."""

    at: int
    user: int
    device: int
    place: int


def draw_sessions(config: WorldConfig, users: UserLatents, rng: np.random.Generator) -> list[Session]:
    """All sessions in order of time."""
    n = config.n_users
    activity = rng.lognormal(0, ACTIVITY_SD, n) * (rng.random(n) >= IDLE_SHARE)
    mean = activity / activity.sum() * config.n_events / EVENTS_PER_SESSION
    count = np.minimum(np.ceil(mean - rng.random(n)), MAX_SESSIONS).astype(int)
    first_d = np.where(rng.random(n) < LATE_SHARE, rng.uniform(0, config.days, n), 0)
    sessions: list[Session] = []
    for user in range(n):
        days = np.sort(rng.uniform(first_d[user], config.days, count[user])).astype(int)
        sessions += _sessions_of(user, days, users, config, rng)
    return sorted(sessions)


def _sessions_of(
    user: int, days: npt.NDArray[np.int_], users: UserLatents, config: WorldConfig, rng: np.random.Generator
) -> list[Session]:
    """One user's sessions: the routine seldom changes, and moves a session to the next weekday on which it occurs."""
    sessions = []
    routine = ROUTINES[users.routines[user, 0]]
    for drawn in days.tolist():
        if rng.random() > STAY:
            routine = ROUTINES[rng.choice(users.routines[user])]
        day = drawn
        while day % 7 not in routine.days:  # day 0 is a Monday
            day += 1
        hour = np.clip(routine.hour + users.shift_h[user] + rng.normal(0, 0.5), 0, 23)
        at = START_US + day * DAY_US + int(hour * HOUR_US)
        if day < config.days:
            sessions.append(Session(at, user, DEVICES.index(routine.device), PLACES.index(routine.place)))
    return sessions
