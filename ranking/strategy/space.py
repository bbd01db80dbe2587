"""What a search may choose of a configuration: a range for each of some fields, by dotted names."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

from pydantic import TypeAdapter

from ranking.strategy.study import Params, Value

if TYPE_CHECKING:
    import optuna

Config = TypeVar("Config")

THERE: Final = "?"  # ends the name of the choice whether an optional number is there at all


@dataclass(frozen=True)
class Choice:
    """One of some values, as JSON has them."""

    values: tuple[Value, ...]


@dataclass(frozen=True)
class Span:
    """A number from low to high, both included; log: small ones as likely as large ones; optional: or None."""

    low: float
    high: float
    log: bool = False
    whole: bool = False
    optional: bool = False


Dimensions: TypeAlias = Mapping[str, Choice | Span]


@dataclass(frozen=True)
class Space(Generic[Config]):
    """Configurations that differ from `plain` in the named fields; `memory.last` is the field of a field."""

    plain: Config
    dimensions: Dimensions

    @cached_property
    def _adapter(self) -> TypeAdapter[Config]:  # making one takes as long as fitting a small model
        return TypeAdapter(type(self.plain))

    @property
    def size(self) -> int | None:
        """How many configurations there are, None where there is no end to them."""
        sizes = [len(one.values) if isinstance(one, Choice) else 0 for one in self.dimensions.values()]
        return prod(sizes) or None

    def suggest(self, trial: "optuna.Trial") -> Params:
        """A point of the space, as the trial's sampler has it."""
        for name, one in self.dimensions.items():
            if isinstance(one, Choice):
                trial.suggest_categorical(name, one.values)
            elif not one.optional or trial.suggest_categorical(name + THERE, (False, True)):
                if one.whole:
                    trial.suggest_int(name, int(one.low), int(one.high), log=one.log)
                else:
                    trial.suggest_float(name, one.low, one.high, log=one.log)
        return dict(trial.params)

    def whole(self, params: Params) -> bool:
        """Whether a point names all that is searched; one that was interrupted while it was suggested does not."""
        return all(
            name in params or (isinstance(one, Span) and one.optional and params.get(name + THERE) is False)
            for name, one in self.dimensions.items()
        )

    def config(self, params: Params) -> Config:
        """The configuration at a point."""
        adapter = self._adapter
        tree = adapter.dump_python(self.plain, mode="json")
        for name in self.dimensions:
            *way, last = name.split(".")
            place = tree
            for step in way:
                place = place[step]
            place[last] = params.get(name)
        return adapter.validate_python(tree)

    def params(self, config: Config) -> Params:
        """The point of a configuration; ValueError where it lies outside of the space."""
        tree, found = self._adapter.dump_python(config, mode="json"), Params()
        for name, one in self.dimensions.items():
            value = tree
            for step in name.split("."):
                value = value[step]
            if isinstance(one, Span) and one.optional:
                found[name + THERE] = value is not None
                if value is None:
                    continue
            if not _holds(one, value):
                raise ValueError(f"{name} is {value!r}; accepted is {one}")
            found[name] = value
        if self.config(found) != config:
            raise ValueError(f"{config} differs from {self.plain} in fields that are not searched")
        return found


def _holds(one: Choice | Span, value: Value) -> bool:
    if isinstance(one, Choice):
        return value in one.values
    return isinstance(value, int | float) and one.low <= value <= one.high
