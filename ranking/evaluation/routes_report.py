"""Who is trusted at which length of a history, as `trichord evaluate` shows it: a file beside the report."""

import json
from pathlib import Path
from typing import Final, TypedDict

from rich.table import Table

from ranking.strategy.gate import EXPERTS
from ranking.strategy.routes import Routes

FILE: Final = "routes.json"


class Band(TypedDict):
    """Histories of these lengths (longest: None without an end) and who answers them: the hybrid, or a single model.

    hybrid, single: NDCG@10 on validation of the hybrid and of the best single model; 0 with no users.
    """

    shortest: int
    longest: int | None
    chosen: str
    best: str
    hybrid: float
    single: float
    users: int


class RoutesReport(TypedDict):
    """weights: length of a history -> group of experts -> weight. short: whether short histories have a ranker."""

    short: bool
    weights: dict[str, dict[str, float]]
    bands: list[Band]


def report_of(routes: Routes) -> RoutesReport:
    """What is to be shown of them."""
    bands: list[Band] = [
        {
            "shortest": one.shortest,
            "longest": one.longest,
            "chosen": one.chosen,
            "best": one.best,
            "hybrid": round(one.hybrid, 4),
            "single": round(one.single, 4),
            "users": one.users,
        }
        for one in routes.choices
    ]
    return {"short": routes.newcomer is not None, "weights": routes.gate.shown(), "bands": bands}


def write(folder: Path, found: dict[str, RoutesReport]) -> None:
    """Keep the protocols' routes in the folder of reports."""
    (folder / FILE).write_text(json.dumps(found, indent=2) + "\n")


def read(folder: Path) -> dict[str, RoutesReport]:
    """What `write` kept; empty where nothing was evaluated yet."""
    path = folder / FILE
    found: dict[str, RoutesReport] = json.loads(path.read_text()) if path.exists() else {}
    return found


def routes_tables(found: dict[str, RoutesReport]) -> list[Table]:
    """One table a protocol: weights by length of the history, and who was chosen."""
    return [_table(name, one) for name, one in found.items()]


def _table(name: str, found: RoutesReport) -> Table:
    table = Table(
        title=f"{name.upper()}: weights by events in the history, learned on validation", title_justify="left"
    )
    table.add_column("events")
    for expert in EXPERTS:
        table.add_column(expert, justify="right")
    table.add_column("answered by")
    table.add_column("NDCG@10 there: hybrid, best single", justify="right")
    for length, weights in found["weights"].items():
        band = _band(found["bands"], int(length))
        cells = (f"{weights[expert]:.2f}" for expert in EXPERTS)
        table.add_row(length, *cells, "hybrid" if band is None else band["chosen"], _told(band))
    return table


def _band(bands: list[Band], length: int) -> Band | None:
    return next((one for one in reversed(bands) if length >= one["shortest"]), None)


def _told(band: Band | None) -> str:
    if band is None or not band["users"]:
        return "nobody to tell by"
    return f"{band['hybrid']:.4f}, {band['single']:.4f} ({band['best']}; {band['users']} users)"
