"""The evaluation as one self-contained page: no network, no script, light and dark, wide and narrow."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final, TypeAlias

from jinja2 import Environment, StrictUndefined, Template

from ranking.evaluation.charts import Axis, LineChart, Mark, line_chart, mark
from ranking.evaluation.report_types import (
    HYBRID,
    WITHOUT,
    Ablation,
    Change,
    Comparison,
    Metrics,
    ProtocolReport,
    RatingPoint,
    Report,
)
from ranking.evaluation.table import reading
from ranking.evaluation.warehouse import Warehouse

PAGE: Final = "evaluation.html"
MOST_LINES: Final = 8  # of a chart: there are no more colours that everybody can tell apart

Cell: TypeAlias = str | int | float | bool | None
Rows: TypeAlias = list[dict[str, Cell]]


@dataclass(frozen=True)
class Section:
    """One protocol: its report, and what is drawn and written of other tables."""

    name: str
    report: ProtocolReport
    order: list[str]
    marks: dict[str, Mark]
    versus: dict[str, Mark]
    ablated: dict[str, Mark]
    reference: str | None
    attributes: dict[str, dict[str, tuple[Mark, Mark | None]]]
    generators: Rows
    budget: LineChart | None
    trials: LineChart | None
    point_predictions: Rows
    reliability: LineChart | None
    ratings: dict[str, RatingPoint]


def write_page(warehouse: Warehouse, report: Report, path: Path) -> None:
    """Write the page; tables that other parts of the product write are shown where they have rows."""
    tables = ("candidate_generators", "candidate_budgets", "trials", "point_predictions", "reliability")
    found = {name: _by_protocol(warehouse, name) for name in tables}
    sections = [
        _section(name, protocol, {table: rows.get(name, []) for table, rows in found.items()}, report["ratings"])
        for name, protocol in report["protocols"].items()
    ]
    path.write_text(_template().render(report=report, sections=sections, hybrid=HYBRID), encoding="utf-8")


def _by_protocol(warehouse: Warehouse, name: str) -> dict[str, Rows]:
    table = warehouse.table(name)
    grouped: dict[str, Rows] = defaultdict(list)
    for row in [] if table is None else table.to_pylist():
        grouped[str(row.pop("protocol", ""))].append(row)
    return grouped


def _section(
    name: str, protocol: ProtocolReport, tables: dict[str, Rows], ratings: dict[str, dict[str, RatingPoint]]
) -> Section:
    models, told = protocol["models"], ratings.get(name, {})
    lift = protocol.get("hybrid_vs_validated_baseline") or protocol.get("hybrid_vs_best_baseline")
    reference = None if lift is None else lift["baseline"]
    return Section(
        name=name,
        report=protocol,
        order=sorted(models, key=lambda model: -models[model]["ndcg@10"]),
        marks=_scores(models),
        versus=_differences(protocol["comparisons"]),
        ablated=_differences(protocol["ablation"]),
        reference=reference,
        attributes={
            attribute: _pairs(slices, reference) for attribute, slices in protocol["attributes"].items() if slices
        },
        generators=tables["candidate_generators"],
        budget=_budget(tables["candidate_budgets"]),
        trials=_trials(tables["trials"]),
        point_predictions=[row for row in tables["point_predictions"] if row["model"] not in told],
        reliability=_reliability(tables["reliability"]),
        ratings=told,
    )


def _scores(models: dict[str, Metrics]) -> dict[str, Mark]:
    axis = Axis.over(bound for one in models.values() for bound in one["ci95"]["ndcg@10"])
    return {model: mark(one["ndcg@10"], one["ci95"]["ndcg@10"], axis) for model, one in models.items()}


def _differences(found: Mapping[str, Comparison | Ablation]) -> dict[str, Mark]:
    """Absolute ones: a model that finds next to nothing would stretch an axis of relative ones."""
    axis = Axis.over(bound for one in found.values() for bound in one["difference_ci95"])
    return {name: mark(one["difference"], one["difference_ci95"], axis) for name, one in found.items()}


def _pairs(slices: dict[str, dict[str, Metrics]], reference: str | None) -> dict[str, tuple[Mark, Mark | None]]:
    """The hybrid's and the reference's marks by slice."""
    bounds = [bound for models in slices.values() for one in models.values() for bound in one["ci95"]["ndcg@10"]]
    axis = Axis.over(bounds)
    found: dict[str, tuple[Mark, Mark | None]] = {}
    for name, models in slices.items():
        marks = {model: mark(one["ndcg@10"], one["ci95"]["ndcg@10"], axis) for model, one in models.items()}
        if HYBRID in marks:
            found[name] = marks[HYBRID], marks.get(reference or "")
    return found


def _budget(rows: Rows) -> LineChart | None:
    """Of the union and the generators that find most, those first that do."""
    by_generator: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        by_generator[str(row["generator"])].append((_number(row["k"]), _number(row["recall"])))
    if not by_generator:
        return None
    lines = {name: sorted(points) for name, points in by_generator.items()}
    most = sorted(lines, key=lambda name: -lines[name][-1][1])[:MOST_LINES]
    return line_chart(
        "Recall of the candidates by their number",
        {name: lines[name] for name in most},
        x_label="candidates a user",
        y_label="recall",
    )


def _trials(rows: Rows) -> LineChart | None:
    """Best validation score so far, by number of the trial."""
    by_model: dict[str, list[tuple[float, float]]] = defaultdict(list)
    done = [row for row in rows if row["value"] is not None]
    for row in sorted(done, key=lambda row: (str(row["study"]), _number(row["number"]))):
        line = by_model[str(row["model"])]
        best = max(_number(row["value"]), line[-1][1] if line else 0.0)
        line.append((len(line) + 1.0, best))
    if not by_model:
        return None
    best_first = sorted(by_model, key=lambda model: -by_model[model][-1][1])[:MOST_LINES]
    lines = {model: by_model[model] for model in best_first}
    return line_chart("Best validation score so far", lines, x_label="trial", y_label="NDCG@10", zero=False)


def _reliability(rows: Rows) -> LineChart | None:
    by_model: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        by_model[str(row["model"])].append((_number(row["predicted"]), _number(row["observed"])))
    if not by_model:
        return None
    lines = {model: sorted(points) for model, points in sorted(by_model.items())[: MOST_LINES - 1]}
    most = max(x for points in lines.values() for x, _ in points)
    return line_chart(
        "Predicted and observed probability",
        {**lines, "perfect": [(0.0, 0.0), (most, most)]},
        x_label="predicted",
        y_label="observed",
    )


def _number(value: Cell) -> float:
    return float(value or 0)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "score": _score,
        "percent": _percent,
        "interval": _interval,
        "change": _change,
        "cell": _cell,
        "reading": reading,
    }
    environment.tests["variant"] = lambda model: str(model).startswith(WITHOUT)
    return environment.from_string((resources.files("ranking.evaluation") / "page.html").read_text("utf-8"))


def _score(value: float | None, digits: int = 4) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "not comparable" if value is None else f"{value:+.1%}"


def _interval(bounds: Sequence[float] | None, form: str = ".3f") -> str:
    return "" if bounds is None else f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"


def _change(change: Change) -> str:
    """Relative where that can be said, absolute otherwise."""
    if change["relative"] is not None and change["ci95"] is not None:
        return f"{_percent(change['relative'])} {_interval(change['ci95'], '+.1%')}"
    return f"{change['difference']:+.4f} {_interval(change['difference_ci95'], '+.4f')}"


def _cell(value: Cell) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else f"{value}"
