"""What the aligned space is like, as `trichord evaluate` shows it: cross-modal recall, and a map of the items."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TypedDict, cast

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ranking.artifacts import load_json
from ranking.evaluation.cross_modal import ALIGNMENT, DEPTH, LEAST, PRODUCT, Crossing
from ranking.evaluation.item_map import LEAST as LEAST_PLACED
from ranking.evaluation.item_map import ItemMap

REPORT: Final = "space.json"
MAP: Final = "item_map.png"


class MapReport(TypedDict):
    """path: the picture. items: points on it. explained: share of the variance that each axis holds."""

    path: str
    items: int
    explained: list[float]


class SpaceReport(TypedDict):
    """cross_modal: empty where no two modalities have enough items in common; item_map: None without enough items."""

    cross_modal: list[Crossing]
    item_map: MapReport | None


def write(folder: Path, crossings: Sequence[Crossing], drawn: ItemMap | None, *, title: str) -> SpaceReport:
    """Write the picture and the report into an existing folder; an older picture goes if there is nothing to draw."""
    picture, shown = folder / MAP, None
    picture.unlink(missing_ok=True)
    if drawn is not None:
        drawn.draw(picture, title=title)
        shown = MapReport(path=MAP, items=len(drawn.places), explained=list(drawn.explained))
    report = SpaceReport(cross_modal=list(crossings), item_map=shown)
    (folder / REPORT).write_text(json.dumps(report, indent=2) + "\n")
    return report


def read(folder: Path) -> SpaceReport | None:
    """What `write` wrote, with the picture's whole path; None where it was never written, ArtifactError if damaged."""
    if not (folder / REPORT).exists():
        return None
    report = cast(SpaceReport, load_json(folder / REPORT))
    if report["item_map"] is not None:
        report["item_map"]["path"] = str(folder / report["item_map"]["path"])
    return report


def crossings_table(crossings: Sequence[Crossing]) -> RenderableType:
    """One row a direction: chance, recall of both models with intervals, and what a space of their own brings."""
    if not crossings:
        return Text(f"no recall from one modality to another, as no two have {LEAST} hidden items in common")
    table = Table(title=f"Recall@{DEPTH} from one modality to another, among unseen items", title_justify="left")
    table.add_column("from, to")
    for column in ("items", "chance", ALIGNMENT, PRODUCT, f"{PRODUCT} - {ALIGNMENT}"):
        table.add_column(column, justify="right")
    for one in crossings:
        models = one["models"]
        cells = (
            f"{found['recall@10']:.3f} {_interval(found['ci95'])}" for found in (models[ALIGNMENT], models[PRODUCT])
        )
        difference = f"{one['difference']:+.3f} {_interval(one['ci95'], '+.3f')}"
        table.add_row(
            f"{one['asked']}, {one['found']}", f"{one['items']:,}", f"{one['chance']:.3f}", *cells, difference
        )
    return table


def map_line(shown: MapReport | None) -> str:
    """Where the picture lies and how much of the space it shows, or why there is none."""
    if shown is None:
        return f"no map of the items, as fewer than {LEAST_PLACED} have a vector"
    held = sum(shown["explained"])
    return f"map of {shown['items']:,} items (two principal components, {held:.0%} of the variance): {shown['path']}"


def _interval(bounds: Sequence[float], form: str = ".3f") -> str:
    return f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"
