"""The tables of items and users, and the items' media."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import soundfile
from rich.console import Console
from rich.progress import track

from feature_repo import schema
from pipelines.datasets.planted.latents import WorldConfig, stream
from pipelines.datasets.planted.pictures import paint
from pipelines.datasets.planted.sounds import RATE, play
from pipelines.datasets.planted.themes import load_themes
from pipelines.datasets.planted.truth import Truth
from pipelines.datasets.planted.writing import MAKERS, distinct, pick_categories, write_description, write_title
from ranking.types import Floats

NO_IMAGE, NO_AUDIO, NO_DESCRIPTION = 0.15, 0.25, 0.05
AGE_GROUPS: Final = ("16-24", "25-34", "35-49", "50-64", "65+")
COUNTRIES: Final = ("DE", "SE", "FR", "GB", "IT", "NL")
TIE: Final = 0.35  # of a user's attributes to taste: the sd of their logits is about 0.7

MAKER, MINUTES = "maker", "minutes"
AGE_GROUP, COUNTRY = "age_group", "country"
ITEMS: Final = schema.ITEMS.append(pa.field(MAKER, pa.string())).append(pa.field(MINUTES, pa.int32()))
USERS: Final = schema.USERS.append(pa.field(AGE_GROUP, pa.string())).append(pa.field(COUNTRY, pa.string()))


class _Item(NamedTuple):
    title: str
    description: str | None
    categories: list[str]
    image: str | None
    audio: str | None
    maker: str
    minutes: int


def make_items(config: WorldConfig, truth: Truth, folder: Path, *, progress: bool) -> pa.Table:
    """Items in the order of the truth, their pictures and sounds written to `folder`/media."""
    console = Console(stderr=True)
    quiet = not (progress and console.is_terminal)
    n = len(truth.items)
    draws = (stream(config, 5, row) for row in range(n))
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # writing the files is most of the time
        items = pool.map(partial(_make, folder=folder), truth.items.ids, truth.mix, draws)
        made = list(track(items, "painting pictures, playing sounds", total=n, console=console, disable=quiet))
    columns = dict(zip(_Item._fields, zip(*made, strict=True), strict=True))
    columns[schema.TITLE] = tuple(distinct(columns[schema.TITLE]))
    columns |= {schema.ITEM_ID: truth.items.ids, schema.CREATED_AT: tuple(truth.created_at.tolist())}
    columns[schema.VIDEO] = (None,) * n
    return pa.Table.from_arrays([pa.array(columns[field.name], field.type) for field in ITEMS], schema=ITEMS)


def make_users(truth: Truth, rng: np.random.Generator) -> pa.Table:
    """Users in the order of the truth, those without any event among them."""
    n_themes = truth.taste.shape[1]
    drawn = []
    for values in (AGE_GROUPS, COUNTRIES):
        logits = TIE / np.sqrt(n_themes / 5) * truth.taste @ rng.standard_normal((n_themes, len(values)))
        drawn.append([values[i] for i in (logits + rng.gumbel(size=logits.shape)).argmax(axis=1).tolist()])
    return pa.Table.from_arrays([pa.array(column) for column in (truth.users.ids, *drawn)], schema=USERS)


def _make(item_id: str, mix: Floats, rng: np.random.Generator, *, folder: Path) -> _Item:
    """One item from its own random numbers; media files are named by its id."""
    has_image, has_audio = rng.random() >= NO_IMAGE, rng.random() >= NO_AUDIO
    has_description = rng.random() >= NO_DESCRIPTION or not (has_image or has_audio)
    maker, minutes = str(rng.choice(MAKERS)), int(rng.integers(2, 20))
    themes = load_themes()
    item = _Item(
        title=write_title(mix, themes, rng),
        description=write_description(mix, themes, maker, minutes, rng) if has_description else None,
        categories=pick_categories(mix, themes, rng),
        image=f"media/{item_id}.png" if has_image else None,
        audio=f"media/{item_id}.flac" if has_audio else None,
        maker=maker,
        minutes=minutes,
    )
    weights = [(theme, float(weight)) for theme, weight in zip(themes, mix, strict=True) if weight > 0]
    if item.image:
        seen = [(theme.picture, weight) for theme, weight in weights if theme.picture]
        paint([picture for picture, _ in seen], [weight for _, weight in seen], rng).save(folder / item.image)
    if item.audio:
        heard = [(theme.sound, weight) for theme, weight in weights if theme.sound]
        wave = play([sound for sound, _ in heard], [weight for _, weight in heard], rng)
        soundfile.write(folder / item.audio, wave, RATE, subtype="PCM_16")
    return item
