"""Draw how times grow: `python docs/draw_growth.py growth.json` writes docs/images/growth.svg.

The file is what `benchmarks/growth.py` wrote.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

PICTURE: Final = Path(__file__).parent / "images" / "growth.svg"

# Okabe and Ito (2008): told apart with every kind of colour vision; markers differ, too
STYLES: Final = {
    "ours": ("#D55E00", "D"),
    "hand-written SQL": ("#0072B2", "s"),
    "bare write": ("#0072B2", "s"),
    "bare gather": ("#0072B2", "s"),
    "stock": ("#555555", "o"),
    "stock SQLite": ("#555555", "o"),
    "stock Redis": ("#009E73", "^"),
}
INK: Final = "#333333"

Json: TypeAlias = Any  # of a file that a script of ours wrote
Series: TypeAlias = Mapping[str, Sequence[tuple[float, float]]]  # name -> (size, measured)


def main() -> None:
    """Write the picture."""
    document = json.loads(Path(sys.argv[1]).read_text())
    matplotlib.rcParams["svg.hashsalt"] = "growth"  # the same file from the same numbers
    figure = Figure(figsize=(10.5, 5.8), layout="constrained")
    FigureCanvasSVG(figure)
    for place, (title, unit, by, series) in enumerate(panels(document)):
        panel(figure.add_subplot(2, 3, place + 1), title, unit, by, series)
    figure.savefig(PICTURE, metadata={"Date": None})


def panels(document: Json) -> list[tuple[str, str, str, Series]]:
    """Title, unit, what grows, and the measured series of each panel."""
    points = document["point_in_time"]["points"]
    depths, sizes = ([one[name] for one in points] for name in ("depth", "entity_rows"))
    depth, rows = max(set(depths), key=depths.count), max(set(sizes), key=sizes.count)
    by_rows = [(one["rows"], one) for one in document["materialize"]["sizes"]]
    by_depth = [(int(n), one["sizes"][0]) for n, one in document["materialize_depth"].items()]
    in_file = by_depth[0][0] * by_depth[0][1]["rows"]
    stored = [(int(n), {"ours": one["ours"]} | one["peers"]) for n, one in document["online_read"].items()]
    events = [(int(n), one) for n, one in document["event_log"].items()]
    return [
        (f"Point-in-time join, {depth} rows a key", "s", "entity rows", joins(points, "entity_rows", "depth", depth)),
        (f"Point-in-time join, {rows:,} entity rows", "s", "rows a key", joins(points, "depth", "entity_rows", rows)),
        ("Materialize, 1 row a key", "s", "rows", materializations(by_rows)),
        (f"Materialize the latest of {in_file:,} rows", "s", "rows a key", materializations(by_depth)),
        ("Online read, 1 user + 500 items, p50", "ms", "stored items", reads(stored)),
        (
            "Event log, durable batches of 1,000",
            "events/s",
            "events",
            {"ours": [(n, one["ours"]) for n, one in events], "bare write": [(n, one["peer"]) for n, one in events]},
        ),
    ]


def materializations(measured: Sequence[tuple[int, Json]]) -> Series:
    """Seconds of ours and of the peer, which may have been too slow for some."""
    return {
        "ours": [(n, one["ours"]["seconds"]) for n, one in measured],
        "stock SQLite": [(n, one["peer"]["seconds"]) for n, one in measured if "peer" in one],
    }


def reads(measured: Sequence[tuple[int, Json]]) -> Series:
    """Milliseconds of each store that was there."""
    names = {"bare gather": "memory-mapped gather", "stock SQLite": "Feast SQLite", "stock Redis": "Feast Redis"}
    series = {
        shown: [(n, one[name]["p50"]) for n, one in measured if name in one]
        for shown, name in ({"ours": "ours"} | names).items()
    }
    return {shown: of_one for shown, of_one in series.items() if of_one}


def joins(points: Json, by: str, fixed: str, value: int) -> Series:
    """Seconds of each work by one measure where the other is fixed; a work that was stopped has no point."""
    chosen = sorted((one for one in points if one[fixed] == value), key=lambda one: one[by])
    names = {"ours": "ours", "hand-written SQL": "sql", "stock": "stock"}
    return {
        shown: [(one[by], one[work]["seconds"]) for one in chosen if "seconds" in one.get(work, {})]
        for shown, work in names.items()
    }


def panel(axes: Axes, title: str, unit: str, by: str, series: Series) -> None:
    """Both axes in powers of ten: a straight line of slope one grows as what it is drawn by."""
    for name, measured in series.items():
        colour, marker = STYLES[name]
        axes.plot(*zip(*measured, strict=True), color=colour, marker=marker, markersize=5, linewidth=1.5, label=name)
    axes.set_xscale("log")
    axes.set_yscale("log")
    values = [value for measured in series.values() for _, value in measured]
    axes.set_ylim(min(values) / 3, max(values) * 20)  # room for the legend
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xlabel(by, fontsize=8, color=INK)
    axes.set_ylabel(unit, fontsize=8, color=INK)
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8, colors=INK, length=0, which="both")
    axes.legend(fontsize=7, frameon=False, loc="upper left", ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


if __name__ == "__main__":
    main()
