"""The same configuration with other seeds: how much of a result is luck."""

from dataclasses import fields, is_dataclass, replace
from typing import Final, TypeVar, cast

SEEDS: Final = (0, 1, 2)  # of the hybrid's ranker; 0 is the one that is served, the others are measured beside it

Config = TypeVar("Config")


def reseeded(config: Config, number: int) -> Config:
    """A frozen configuration whose every `seed` and `seeds`, at any depth, are others; number 0 is the configuration.

    `seed` s becomes s + number. Of `seeds`, which are averaged, none stays: they move on by number times as many.

    >>> from ranking.rankers.blend import BlendConfig
    >>> other = reseeded(BlendConfig(), 2)
    >>> other.trees.seeds, other.linear.seed
    ((4, 5), 2)
    """
    if not is_dataclass(config):
        return config
    changed: dict[str, object] = {}
    for one in fields(config):
        value: object = getattr(config, one.name)
        if one.name == "seed" and isinstance(value, int):
            changed[one.name] = value + number
        elif one.name == "seeds" and isinstance(value, tuple):
            changed[one.name] = tuple(seed + number * len(value) for seed in value)
        elif is_dataclass(value) and not isinstance(value, type):
            changed[one.name] = reseeded(value, number)
    return cast(Config, replace(config, **changed))  # type: ignore[type-var]  # it is a dataclass, as asked above
