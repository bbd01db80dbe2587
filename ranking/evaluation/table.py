"""The evaluation as tables for a terminal."""

from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ranking.evaluation.report_types import HYBRID, LEAST_USERS, Change, Metrics, ProtocolReport, Report

COLUMNS: Final = ("NDCG@10", "95 %", "p Holm", "R@10", "R@50", "R@200", "MRR@10", "cover@10", "fit s")


def tables(report: Report, *, attributes: bool = False) -> Group:
    """For each protocol: its models, the hybrid's lift, the ablation by warm and cold items, and NDCG@10 by slice.

    attributes: also the slices by attribute of the user and the request.
    """
    blocks: list[RenderableType] = [Text(f"{report['dataset']}, release {report['release'] or 'none yet'}")]
    for name, protocol in report["protocols"].items():
        blocks += [_models(name, protocol), *map(Text, _findings(protocol)), *_generators(protocol)]
        blocks += [_ablation(protocol)] if protocol["ablation"] else []
        blocks += [_slices(protocol)]
        blocks += [_attributes(name, protocol)] if attributes else []
    blocks += [_points(report)] if report["point"] else []
    blocks += [_ratings(report)] if report["ratings"] else []
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
            _p(protocol, model),
            *(f"{value:.4f}" for value in recalls),
            "" if found["fit_s"] is None else f"{found['fit_s']:.1f}",
            style="bold" if model == HYBRID else "",
        )
    return table


def _p(protocol: ProtocolReport, model: str) -> str:
    """That the hybrid and this baseline are alike, corrected for having asked of all baselines."""
    found = protocol["comparisons"].get(model)
    return "" if found is None or found["p_holm"] is None else f"{found['p_holm']:.4f}"


def _findings(protocol: ProtocolReport) -> Iterator[str]:
    if "hybrid_vs_best_baseline" in protocol:
        lift = protocol["hybrid_vs_best_baseline"]
        yield f"hybrid against the best baseline, {lift['baseline']}: {_change(lift['relative'], lift['ci95'])}"
    if "hybrid_vs_validated_baseline" in protocol:
        lift = protocol["hybrid_vs_validated_baseline"]
        yield f"hybrid against {lift['baseline']}, which validation chose: {_change(lift['relative'], lift['ci95'])}"
    if "seeds" in protocol:
        seeds = protocol["seeds"]
        named = ", ".join(map(str, seeds["seeds"]))
        yield f"hybrid with seeds {named}: NDCG@10 {seeds['mean']:.4f}, standard deviation {seeds['sd']:.4f}"
    if HYBRID in (rare := protocol["slices"].get("rare_items", {})):
        recall, users = rare[HYBRID]["recall@200"], rare[HYBRID]["users"]
        yield f"hybrid for items of at most 5 training events: R@200 {recall:.4f} ({users:,} users)"
    if "candidates" in protocol:
        union = protocol["candidates"]
        yield f"candidates hold {union['recall']:.1%} of what is relevant ({union['size']:.0f} a user)"


def _generators(protocol: ProtocolReport) -> Iterator[Table]:
    """Who finds the candidates: one row a generator, those first that the union would miss most."""
    found = protocol.get("candidates", {}).get("generators", {})
    if found:
        table = Table(title="Generators of the candidates, by recall of what is relevant", title_justify="left")
        table.add_column("generator")
        for column in ("alone", "the union gains", "found by it only", "placed highest by it"):
            table.add_column(column, justify="right")
        for name, one in found.items():
            cells = (f"{one['recall']:.4f}", f"{one['marginal']:+.4f}", f"{one['exclusive']:,}", f"{one['first']:.1%}")
            table.add_row(name, *cells)
        yield table


def _change(relative: float | None, interval: list[float] | None) -> str:
    if relative is None:
        return "NDCG@10 not comparable, as the reference finds nothing"
    return f"NDCG@10 {_relative(relative, interval)}"


def _relative(relative: float, interval: list[float] | None) -> str:
    return f"{relative:+.1%}" + ("" if interval is None else f" [{interval[0]:+.1%}, {interval[1]:+.1%}]")


def _ablation(protocol: ProtocolReport) -> Table:
    """One row a part: how NDCG@10 changes without it, for all, and with warm or cold items alone as relevant."""
    table = Table(title="NDCG@10 of the hybrid without a part: change and 95 %", title_justify="left")
    table.caption = "absolute where the hybrid finds nothing in some draw of users"
    table.add_column("without")
    slices = protocol["slices"]
    users = [protocol["users"], *(_users(slices.get(name, {})) for name in ("warm_items", "cold_items"))]
    for name, count in zip(("all", "warm items", "cold items"), users, strict=True):
        table.add_column(f"{name}\n{count:,} users", justify="right")
    table.add_column("so the part")
    for part, removed in protocol["ablation"].items():
        cells = [removed, removed.get("warm_items"), removed.get("cold_items")]
        table.add_row(part, *map(_cell, cells), reading(removed["difference_ci95"]))
    return table


def _cell(change: Change | None) -> str:
    """The relative change; the absolute one where some draw of users finds nothing that it could be relative to."""
    if change is None:
        return ""
    if change["relative"] is not None and change["ci95"] is not None:
        return _relative(change["relative"], change["ci95"])
    low, high = change["difference_ci95"]
    return f"{change['difference']:+.4f} [{low:+.4f}, {high:+.4f}]"


def reading(interval: list[float]) -> str:
    """What the interval over all users says of the part that was taken away."""
    if interval[1] < 0:
        return "helps"
    return "harms" if interval[0] > 0 else "shows no effect"


def _users(models: dict[str, Metrics]) -> int:
    return max((found["users"] for found in models.values()), default=0)


def _slices(protocol: ProtocolReport) -> Table:
    slices = protocol["slices"]
    table = Table(title="NDCG@10 by slice", title_justify="left")
    table.add_column("model")
    for name, models in slices.items():
        table.add_column(f"{name.replace('_', ' ')}\n{_users(models):,} users", justify="right")
    for model in _best_first(protocol["models"]):
        cells = (models.get(model) for models in slices.values())
        table.add_row(
            model,
            *("" if cell is None else f"{cell['ndcg@10']:.4f}" for cell in cells),
            style="bold" if model == HYBRID else "",
        )
    return table


def _attributes(name: str, protocol: ProtocolReport) -> Table:
    """One row a slice: the hybrid beside the baseline that validation chose."""
    lift = protocol.get("hybrid_vs_validated_baseline") or protocol.get("hybrid_vs_best_baseline")
    shown = [HYBRID] if lift is None else [HYBRID, lift["baseline"]]
    table = Table(title=f"{name.upper()}: NDCG@10 by attribute of the user and the request (UTC)", title_justify="left")
    table.caption = f"slices of at least {LEAST_USERS} users"
    table.add_column("slice")
    for column in ("users", *shown):
        table.add_column(column, justify="right")
    for slices in protocol["attributes"].values():
        for one, models in slices.items():
            cells = (_with_interval(models[model]) if model in models else "" for model in shown)
            table.add_row(one, f"{_users(models):,}", *cells)
        table.add_section()
    return table


def _with_interval(found: Metrics) -> str:
    low, high = found["ci95"]["ndcg@10"]
    return f"{found['ndcg@10']:.4f} [{low:.3f}, {high:.3f}]"


def _points(report: Report) -> Table:
    """One row a protocol and model: how likely it said that single pairs were, against what came."""
    table = Table(title="single predictions", title_justify="left")
    table.caption = "of the hybrid: its candidates; of fusion: what was relevant, and unobserved pairs"
    for column in ("protocol", "model", "pairs", "relevant", "log loss", "accuracy", "AUC", "calibration error"):
        table.add_column(column, justify="left" if column in ("protocol", "model") else "right")
    for protocol, models in report["point"].items():
        for model, found in models.items():
            share = found["accuracy"]
            table.add_row(
                protocol.upper(),
                model,
                f"{found['rows']:,}",
                f"{found['rate']:.1%}",
                f"{found['logloss']:.4f}",
                "" if share is None else f"{share:.1%}",
                f"{found['auc']:.4f}",
                f"{found['ece']:.4f}",
            )
    return table


def _ratings(report: Report) -> Table:
    """One row a protocol and model: what it said that held-out ratings would be, against what they were."""
    table = Table(title="ratings", title_justify="left")
    for column in ("protocol", "model", "ratings", "users", "RMSE", "MAE", "RMSE against biases, 95 %"):
        table.add_column(column, justify="left" if column in ("protocol", "model") else "right")
    for protocol, models in report["ratings"].items():
        for model, found in models.items():
            size, errors = (
                (f"{found['rows']:,}", f"{found['users']:,}"),
                (f"{found['rmse']:.4f}", f"{found['mae']:.4f}"),
            )
            gap, bounds = found["difference"], found["difference_ci95"]
            against = "" if gap is None or bounds is None else f"{gap:+.4f} [{bounds[0]:+.4f}, {bounds[1]:+.4f}]"
            table.add_row(protocol.upper(), model, *size, *errors, against)
    return table
