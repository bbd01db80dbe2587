"""The themes that items are about, read from `themes.toml`."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Final, TypeAlias

from pydantic import BaseModel, ConfigDict

DEVICES: Final = ("phone", "tablet", "tv", "desktop")
PLACES: Final = ("home", "work", "transit", "outdoors")

Strings: TypeAlias = tuple[str, ...]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(_Part):
    """What a theme's titles and sentences are made of."""

    first: Strings
    last: Strings
    things: Strings
    scenes: Strings
    moods: Strings
    sentences: Strings


class Picture(_Part):
    """How a theme looks: a function of `pictures`, and colours (two of the backdrop, then inks)."""

    motif: str
    palette: Strings


class Sound(_Part):
    """How a theme sounds; units in `themes.toml`."""

    partials: tuple[tuple[float, float], ...]
    attack: float
    decay: float
    beat: float
    steps: tuple[int, ...]
    octave: int
    scale: tuple[int, ...]
    kick: float
    hat: float
    bed: float


class Theme(_Part):
    """One latent topic. `words`, `picture` or `sound` is None where the theme cannot be perceived."""

    name: str
    category: str
    hour: float
    weekend: float
    season: float
    device: dict[str, float]
    place: dict[str, float]
    words: Words | None = None
    picture: Picture | None = None
    sound: Sound | None = None


@cache
def load_themes() -> tuple[Theme, ...]:
    """All themes, in the order of the latent topics."""
    text = files(__package__).joinpath("themes.toml").read_text(encoding="utf-8")
    return tuple(Theme.model_validate(one) for one in tomllib.loads(text)["theme"])
