"""Where things stand in a chart: intervals in per cent of a table's cell, lines in units of a drawing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Final, TypeAlias

WIDTH, HEIGHT = 640, 320  # of a line chart; read at half that width on a phone
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 14, 44
TICKS: Final = 5

Points: TypeAlias = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """Numbers from low to high, which differ."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float], *, with_zero: bool = True) -> "Axis":
        """From the least to the greatest finite value, and over 0; an axis of as good as one number is made wider."""
        found = [value for value in values if isfinite(value)] + ([0.0] if with_zero else [])
        low, high = min(found, default=0.0), max(found, default=1.0)
        return cls(low, high) if high - low > 1e-9 * max(1, -low, high) else cls(low - 0.5, high + 0.5)

    def share(self, value: float) -> float:
        """How far along the axis, 0 to 1."""
        return (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """About `TICKS` round numbers within the axis.

        >>> Axis(0.0, 0.23).ticks()
        [0.0, 0.05, 0.1, 0.15, 0.2]
        """
        rough = (self.high - self.low) / TICKS
        magnitude = 10.0 ** floor(log10(rough))
        step = next(magnitude * one for one in (1, 2, 5, 10) if magnitude * one >= rough * 0.999)
        first, last = ceil(self.low / step - 1e-9), floor(self.high / step + 1e-9)
        return [round(number * step, 10) for number in range(first, last + 1)]


@dataclass(frozen=True)
class Mark:
    """A value and its interval in per cent of a cell; zero: where 0 stands, None where that is the left edge."""

    at: float
    low: float
    width: float
    zero: float | None


def mark(value: float, interval: Sequence[float] | None, axis: Axis) -> Mark:
    """Place a value; without an interval the bar has no width.

    >>> mark(0.5, [0.25, 0.75], Axis(0.0, 1.0))
    Mark(at=50.0, low=25.0, width=50.0, zero=None)
    """
    low, high = (value, value) if interval is None else (interval[0], interval[1])
    start, end = (round(100 * axis.share(one), 2) for one in (low, high))
    zero = round(100 * axis.share(0), 2) if axis.low < 0 <= axis.high else None
    return Mark(round(100 * axis.share(value), 2), start, round(end - start, 2), zero)


@dataclass(frozen=True)
class Line:
    """points: as SVG wants them. ends: the last of them."""

    name: str
    points: str
    ends: tuple[float, float]


@dataclass(frozen=True)
class LineChart:
    """A drawing of `WIDTH` x `HEIGHT`; ticks: place along the axis and what is written there."""

    title: str
    x_label: str
    y_label: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def line_chart(title: str, series: Mapping[str, Points], *, x_label: str, y_label: str, zero: bool = True) -> LineChart:
    """Lines through points in ascending order of x; zero: whether the axis of y begins there."""
    points = [point for line in series.values() for point in line]
    across = Axis.over([x for x, _ in points], with_zero=False)
    up = Axis.over([y for _, y in points], with_zero=zero)

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            round(LEFT + across.share(x) * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up.share(y) * (HEIGHT - TOP - BOTTOM), 1),
        )

    placed = {name: [place(x, y) for x, y in line] for name, line in series.items() if line}
    return LineChart(
        title,
        x_label,
        y_label,
        [Line(name, " ".join(f"{x},{y}" for x, y in line), line[-1]) for name, line in placed.items()],
        [(place(tick, up.low)[0], f"{tick:g}") for tick in across.ticks()],
        [(place(across.low, tick)[1], f"{tick:g}") for tick in up.ticks()],
    )
