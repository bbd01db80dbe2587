"""The evaluation as tables for a terminal."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ranking.evaluation.report import HYBRID, Metrics, ProtocolReport, Report

COLUMNS: Final = ("NDCG@10", "95 %", "R@10", "R@50", "R@200", "MRR@10", "cover@10", "fit s")


def tables(report: Report) -> Group:
    """For each protocol: its models, the hybrid's lift, the ablation, and NDCG@10 by slice."""
    blocks: list[RenderableType] = [Text(f"{report['dataset']}, release {report['release'] or 'none yet'}")]
    for name, protocol in report["protocols"].items():
        blocks += [_models(name, protocol), *map(Text, _findings(protocol)), _slices(protocol)]
    return Group(*blocks)


def _best_first(models: dict[str, Metrics]) -> list[str]:
    return sorted(models, key=lambda model: -models[model]["ndcg@10"])


def _models(name: str, protocol: ProtocolReport) -> Table:
    size = f"{protocol['users']:,} users, {protocol['items']:,} items"
    cold = f"{protocol['cold_item_share']:.1%} of what is relevant is cold"
    table = Table(title=f"{name.upper()}: {protocol['split']['rule']}; {size}; {cold}", title_justify="left")
    table.add_column("model")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for model in _best_first(protocol["models"]):
        found = protocol["models"][model]
        low, high = found["ci95"]["ndcg@10"]
        recalls = (found["recall@10"], found["recall@50"], found["recall@200"], found["mrr@10"], found["coverage@10"])
        table.add_row(
            model,
            f"{found['ndcg@10']:.4f}",
            f"{low:.4f} {high:.4f}",
            *(f"{value:.4f}" for value in recalls),
            "" if found["fit_s"] is None else f"{found['fit_s']:.1f}",
            style="bold" if model == HYBRID else "",
        )
    return table


def _findings(protocol: ProtocolReport) -> Iterator[str]:
    if "hybrid_vs_best_baseline" in protocol:
        lift = protocol["hybrid_vs_best_baseline"]
        yield f"hybrid against the best baseline, {lift['baseline']}: {_change(lift['relative'], lift['ci95'])}"
    for part, removed in protocol["ablation"].items():
        yield f"hybrid without {part}: {_change(removed['relative'], removed['ci95'])}"
    if "candidates" in protocol:
        found = protocol["candidates"]
        yield f"candidates hold {found['recall']:.1%} of what is relevant ({found['size']:.0f} a user)"


def _change(relative: float | None, interval: list[float] | None) -> str:
    if relative is None:
        return "NDCG@10 not comparable, as the reference finds nothing"
    around = "" if interval is None else f" [{interval[0]:+.1%}, {interval[1]:+.1%}]"
    return f"NDCG@10 {relative:+.1%}{around}"


def _slices(protocol: ProtocolReport) -> Table:
    slices = protocol["slices"]
    table = Table(title="NDCG@10 by slice", title_justify="left")
    table.add_column("model")
    for name, models in slices.items():
        users = max((found["users"] for found in models.values()), default=0)
        table.add_column(f"{name.replace('_', ' ')}\n{users:,} users", justify="right")
    for model in _best_first(protocol["models"]):
        cells = (models.get(model) for models in slices.values())
        table.add_row(
            model,
            *("" if cell is None else f"{cell['ndcg@10']:.4f}" for cell in cells),
            style="bold" if model == HYBRID else "",
        )
    return table
