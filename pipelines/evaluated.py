"""What `trichord evaluate` shows of a home."""

import json
import sys
from pathlib import Path

from feature_repo.settings import Settings
from pipelines.commands.options import wide_console
from ranking.evaluation.export import export as export_to
from ranking.evaluation.page import PAGE
from ranking.evaluation.report import build_report
from ranking.evaluation.routes_report import read as read_routes
from ranking.evaluation.routes_report import routes_tables
from ranking.evaluation.space_report import crossings_table, map_line, read
from ranking.evaluation.table import tables
from ranking.evaluation.warehouse import Warehouse


def show(settings: Settings, *, as_json: bool, export: Path | None, slices: bool) -> None:
    """Print the evaluation and where its page lies; export: a folder for splits and rankings."""
    with Warehouse(settings.warehouse, read_only=True) as warehouse:
        if export is not None:
            files = export_to(warehouse, export)
            print(f"{len(files)} files written to {export}", file=sys.stderr)
        report = build_report(warehouse)
    space, routes = read(settings.reports), read_routes(settings.reports)
    if as_json:
        print(json.dumps({**report, **(space or {}), **({"routes": routes} if routes else {})}))
        return
    wide_console().print(tables(report, attributes=slices), *routes_tables(routes))
    if space is not None:
        wide_console().print(crossings_table(space["cross_modal"]))
        print(map_line(space["item_map"]))  # not by rich, which would fold a path
    if (page := settings.reports / PAGE).exists():
        print(f"the same with plots: {page}")
