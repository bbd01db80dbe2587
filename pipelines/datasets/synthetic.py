"""The embedded synthetic dataset: a planted world, whose truth is known.

Lantern is a small streaming service of short pieces, each a picture with a sound and a few sentences. Its world has
K = 20 themes (`planted/themes.toml`): jazz, trains, gardens, techno ... A user's next free choice at time t with device
d at place p falls on item i, among those that exist and that the user has not consumed, in proportion to exp(utility):

    utility(u, i, t, d, p) = sum_k mix[i, k] * weight[k]  +  quality[i]  +  FRESH * exp(-age_days[i] / FRESH_DAYS)
    weight[k] = taste[u, k]                                         what the user loves
              + habit[u, p, k]                                      what this user wants more of at that place
              + HOUR * cos(2 pi (hour(t) - hour[k]) / 24)           when the theme is wanted
              + WEEKEND * (is_weekend(t) - 2/7) * weekend[k]
              + DEVICE * device[d, k] + PLACE * place[p, k]
              + SEASON * cos(2 pi (day(t) - season[k]) / 180)       fashion

An item's mix is one to three themes. Words, picture and sound each can tell only about two thirds of the themes, every
theme by two of the three, so that all three together know more than any one; categories are coarser and sometimes
wrong. Some items lack the picture, the sound or the description. Quality makes popularity; a tenth of the items arrive
in the last 20 of the 90 days.

Users live in three routines (hour, weekdays, device, place), stay in one for a session or two, and differ in activity
from none at all to hundreds of events. In a session they are shown slates of five and then choose freely (search, a
link of a friend: events without request_id). Slates are drawn without replacement from the logging policy
0.7 * popularity + 0.3 * uniform; `propensity` is the chance of that draw, given the items above it. A shown item is
clicked with probability examined[position] * sigmoid(a + CLICK_BIAS), where a is its log probability as a free choice
over that of a random item. Every consumption is one event, `click` or the stronger `like`; nobody consumes an item
twice. Attributes of users (age_group, country) go with their tastes, weakly.

The truth lies beside the tables (truth.safetensors, truth.json): `Truth.load(folder).score(...)` is the best that any
recommender could know, and tests compare the platform with it.
"""

import shutil
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from pipelines.datasets.planted.catalogue import make_items, make_users
from pipelines.datasets.planted.events import CLICK, IMPRESSION, LIKE, simulate
from pipelines.datasets.planted.latents import SMALL, WorldConfig, draw_items, draw_users, stream
from pipelines.datasets.planted.sessions import draw_sessions
from pipelines.datasets.planted.themes import load_themes
from pipelines.datasets.planted.truth import FILE, Truth, is_of
from pipelines.errors import DatasetError

__all__ = ["SMALL", "Truth", "WorldConfig", "build_world"]

DATASET_TOML: Final = f"""\
name = "lantern"

[kinds.{IMPRESSION}]
weight = 0.0
positive = false

[kinds.{CLICK}]
weight = 1.0
positive = true

[kinds.{LIKE}]
weight = 3.0
positive = true
"""


def build_world(config: WorldConfig, folder: Path, *, progress: bool = True) -> None:
    """Write a whole dataset folder; a folder that holds this very world already is left as it is.

    The same config gives the same bytes. The folder appears whole or not at all. `progress` shows a bar on a terminal
    and nothing in a pipe. Raises `DatasetError` for a folder that holds something else than a planted world.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / f"{FILE}.json").exists())):
        raise DatasetError(f"{folder} holds something else than a planted world; name a new or an empty folder")
    if is_of(folder, config):
        return
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "media").mkdir(parents=True)
    _write(config, partial, progress=progress)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _write(config: WorldConfig, folder: Path, *, progress: bool) -> None:
    themes = load_themes()
    items = draw_items(config, len(themes), stream(config, 0))
    users = draw_users(config, len(themes), stream(config, 1))
    truth = Truth.of(items, users, themes)
    sessions = draw_sessions(config, users, stream(config, 2))
    pq.write_table(simulate(truth, sessions, stream(config, 3)), folder / "events.parquet")
    pq.write_table(make_users(truth, stream(config, 4)), folder / "users.parquet")
    pq.write_table(make_items(config, truth, folder, progress=progress), folder / "items.parquet")
    (folder / "dataset.toml").write_text(DATASET_TOML, encoding="utf-8")
    truth.save(folder, config)
