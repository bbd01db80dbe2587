"""A picture of an item's themes: the motif of each, in its colours, as much of it as the theme weighs."""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw

from pipelines.datasets.planted.themes import Picture

Colour: TypeAlias = tuple[int, int, int]
Inks: TypeAlias = Sequence[Colour]
Motif: TypeAlias = Callable[[ImageDraw.ImageDraw, np.random.Generator, Inks, float], None]

SIZE: Final = 160
SCALE: Final = 2  # drawn larger, then reduced, so that edges are smooth
EDGE: Final = SIZE * SCALE
PLAIN: Final = Picture(motif="mist", palette=("#d9d5cf", "#b8b6b4", "#c8c2ba", "#a7a5a6", "#e4dfd8"))


def paint(pictures: Sequence[Picture], weights: Sequence[float], rng: np.random.Generator) -> Image.Image:
    """RGB, SIZE x SIZE: the heaviest theme gives the backdrop, lighter ones are drawn first; without any, a mist."""
    order = np.argsort(weights)
    layers = [(pictures[i], weights[i] / sum(weights)) for i in order.tolist()] or [(PLAIN, 1.0)]
    image = _backdrop(_colours(layers[-1][0], rng)[:2], rng)
    draw = ImageDraw.Draw(image)
    for picture, share in layers:
        MOTIFS[picture.motif](draw, rng, _colours(picture, rng)[2:], share)
    return image.resize((SIZE, SIZE), Image.Resampling.BOX)


def _colours(picture: Picture, rng: np.random.Generator) -> list[Colour]:
    """The palette, all of it a little warmer, colder, lighter or darker."""
    rgb = np.array([ImageColor.getrgb(name)[:3] for name in picture.palette]) + rng.normal(0, 9, 3) + rng.normal(0, 9)
    return [(int(r), int(g), int(b)) for r, g, b in np.clip(rgb, 0, 255)]


def _backdrop(colours: Inks, rng: np.random.Generator) -> Image.Image:
    """From one colour at the top to the other at the bottom."""
    down = np.linspace(0, 1, EDGE)[:, None] ** rng.uniform(0.7, 1.4)
    column = (1 - down) * np.array(colours[0]) + down * np.array(colours[1])
    return Image.fromarray(column.astype(np.uint8)[:, None]).resize((EDGE, EDGE), Image.Resampling.NEAREST)


def _ink(inks: Inks, rng: np.random.Generator) -> Colour:
    return inks[int(rng.integers(len(inks)))]


def _many(most: int, share: float) -> range:
    """As many as the share of the theme asks for, at least one."""
    return range(max(1, round(most * share)))


def _turned(points: npt.ArrayLike, angle: float, centre: npt.ArrayLike) -> list[tuple[float, float]]:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return [(x, y) for x, y in (np.asarray(points) @ turn + centre).tolist()]


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _mist(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(7, share):
        x, y, w, h = rng.uniform((-40, 20, 120, 14), (EDGE, EDGE - 40, 260, 40))
        draw.rounded_rectangle((x, y, x + w, y + h), 20, fill=_ink(inks, rng))


def _strobe(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(14, share):
        x, width, lean = rng.uniform((-60, 3, -50), (EDGE, 16, 50))
        draw.polygon([(x, 0), (x + width, 0), (x + width + lean, EDGE), (x + lean, EDGE)], fill=_ink(inks, rng))


def _skyline(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(9, share):
        x, width, height = (int(value) for value in rng.uniform((-20, 34, 90), (EDGE - 20, 60, 250)))
        draw.rectangle((x, EDGE - height, x + width, EDGE), fill=(16, 18, 40))
        light = _ink(inks, rng)
        for row in range(EDGE - height + 8, EDGE - 6, 16):
            for column in range(x + 6, x + width - 8, 12):
                if rng.random() < 0.55:
                    draw.rectangle((column, row, column + 5, row + 8), fill=light)


def _pixels(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(5, share):
        cell = int(rng.integers(8, 15))
        left, top = rng.integers(0, EDGE - 8 * cell, 2).tolist()
        half = rng.random((8, 4)) < 0.55
        colour = _ink(inks, rng)
        for row, column in np.argwhere(np.concatenate([half, half[:, ::-1]], axis=1)).tolist():
            x, y = left + column * cell, top + row * cell
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=colour)


def _confetti(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(90, share):
        w, h = rng.uniform((4, 8), (10, 20))
        draw.polygon(
            _turned([(-w, -h), (w, -h), (w, h), (-w, h)], rng.uniform(0, np.pi), rng.uniform(0, EDGE, 2)),
            fill=_ink(inks, rng),
        )


def _rings(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    x, y = rng.uniform(0.35 * EDGE, 0.65 * EDGE, 2)
    gap = rng.uniform(14, 22)
    for number in _many(9, share):
        radius = (number + 1) * gap
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_ink(inks, rng), width=5)


def _scrolls(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(9, share):
        turns, size = rng.uniform(1.5, 2.5) * 2 * np.pi, rng.uniform(28, 62)
        angle = np.linspace(0, turns, 60)
        spiral = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (size * angle / turns)[:, None]
        points = _turned(spiral, rng.uniform(0, 2 * np.pi), rng.uniform(20, EDGE - 20, 2))
        draw.line(points, fill=_ink(inks, rng), width=6, joint="curve")


def _flowers(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(13, share):
        x, y, radius, turn = rng.uniform((20, 20, 18, 0), (EDGE - 20, EDGE - 20, 36, 2))
        draw.line((x, y, x + rng.uniform(-20, 20), EDGE), fill=inks[2], width=4)
        petal = inks[int(rng.choice([0, 1, 3]))]
        for angle in turn + np.arange(6) * np.pi / 3:
            _disc(draw, x + radius * np.cos(angle), y + radius * np.sin(angle), 0.6 * radius, petal)
        _disc(draw, x, y, 0.55 * radius, inks[1])


def _flakes(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(16, share):
        x, y, size, turn = rng.uniform((0, 0, 12, 0), (EDGE, EDGE, 44, 1))
        colour = _ink(inks, rng)
        for angle in turn + np.arange(6) * np.pi / 3:
            arm = np.array([np.cos(angle), np.sin(angle)]) * size
            draw.line((x, y, x + arm[0], y + arm[1]), fill=colour, width=4)
            for side in (-0.6, 0.6):
                twig = _turned([arm * 0.35], side, arm * 0.6 + (x, y))[0]
                draw.line((x + 0.6 * arm[0], y + 0.6 * arm[1], *twig), fill=colour, width=3)


def _peaks(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for number in _many(6, share):
        x, width, height = rng.uniform((0, 70, 110), (EDGE, 150, 220))
        base, top = EDGE + 10.0, EDGE - height + 14 * number
        draw.polygon([(x - width, base), (x, top), (x + width, base)], fill=inks[number % 2])
        snow = 0.25 * (base - top)
        slope = width / (base - top)
        draw.polygon(
            [(x, top), (x - snow * slope, top + snow), (x, top + 0.7 * snow), (x + snow * slope, top + snow)],
            fill=inks[-1],
        )


def _waves(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    _disc(draw, rng.uniform(60, EDGE - 60), rng.uniform(40, 90), 30, (250, 214, 130))
    xs = np.linspace(0, EDGE, 60)
    for number in _many(7, share):
        level, swing, period, phase = rng.uniform((0, 6, 60, 0), (14, 15, 130, 6))
        ys = 120 + 30 * number + level + swing * np.sin(2 * np.pi * xs / period + phase)
        crest = list(zip(xs.tolist(), ys.tolist(), strict=True))
        draw.polygon([*crest, (EDGE, EDGE), (0, EDGE)], fill=inks[number % len(inks)])


def _plates(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    cloth = int(rng.integers(22, 34))
    for row in range(0, round(EDGE * share), cloth):
        for column in range(row // cloth % 2 * cloth, EDGE, 2 * cloth):
            draw.rectangle((column, row, column + cloth, row + cloth), fill=inks[0])
    for _ in _many(4, share):
        x, y, radius = rng.uniform((40, 40, 36), (EDGE - 40, EDGE - 40, 66))
        _disc(draw, x, y, radius, (252, 252, 250))
        _disc(draw, x, y, 0.75 * radius, (226, 226, 222))
        _disc(draw, x, y, 0.5 * radius, inks[int(rng.integers(2, len(inks)))])


def _planets(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for _ in _many(110, share):
        x, y, radius = rng.uniform((0, 0, 0.8), (EDGE, EDGE, 3))
        _disc(draw, x, y, radius, inks[0])
    for _ in _many(3, share):
        x, y, radius = rng.uniform((40, 40, 16), (EDGE - 40, EDGE - 40, 54))
        _disc(draw, x, y, radius, inks[int(rng.integers(1, len(inks)))])
        if rng.random() < 0.6:
            draw.ellipse(
                (x - 1.7 * radius, y - 0.4 * radius, x + 1.7 * radius, y + 0.4 * radius), outline=inks[0], width=4
            )


def _columns(draw: ImageDraw.ImageDraw, rng: np.random.Generator, inks: Inks, share: float) -> None:
    for number in _many(6, share):
        x = (number + rng.uniform(0, 0.4)) * EDGE / 6
        top, stone = rng.uniform(60, 200), inks[number % 2]
        draw.rectangle((x, top, x + 34, EDGE), fill=stone)
        draw.rectangle((x - 7, top - 12, x + 41, top), fill=inks[1])
        for flute in (8, 16, 24):
            draw.line((x + flute, top + 4, x + flute, EDGE), fill=inks[2], width=3)


MOTIFS: Final[dict[str, Motif]] = {
    "columns": _columns,
    "confetti": _confetti,
    "flakes": _flakes,
    "flowers": _flowers,
    "mist": _mist,
    "peaks": _peaks,
    "pixels": _pixels,
    "planets": _planets,
    "plates": _plates,
    "rings": _rings,
    "scrolls": _scrolls,
    "skyline": _skyline,
    "strobe": _strobe,
    "waves": _waves,
}
