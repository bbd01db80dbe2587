"""Point predictions: how likely each candidate was to be chosen, as told beforehand, against what came."""

from collections.abc import Sequence
from typing import Final

from ranking.evaluation.report_types import HYBRID, Bin, Point
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import auc, calibration_error, logloss, reliability
from ranking.rankers.probability import Probability, Rows
from ranking.rankers.slates import Slates
from ranking.rankers.trees import Trees, TreesConfig
from ranking.splits import Split

NEEDED: Final = 3  # windows: one to be asked, one to calibrate on, an earlier one to learn from


def measure_points(
    warehouse: Warehouse,
    divided: Sequence[Split],
    slates: Sequence[Slates],
    config: TreesConfig,
    *,
    trees: Trees | None = None,
) -> None:
    """Learn from window 2, calibrate on window 1, predict window 0, the latest; with fewer windows nothing is measured.

    Nor is it without a relevant candidate. trees: what learned from window 2 by `config`; if they are not given, or not
    of the binary objective alone, others are fitted.
    """
    if len(slates) < NEEDED:
        return
    asked, later, earlier = [
        _rows(one, division) for one, division in zip(slates[:NEEDED], divided[:NEEDED], strict=True)
    ]
    if not asked[1].any():
        return
    if trees is not None and set(trees.config.objectives) == {"binary"}:
        probability = Probability.calibrated(trees, later)
    else:
        probability = Probability.fit(earlier, later, config=config)
    chances = probability.predict(asked[0])
    found = {
        "rows": float(len(chances)),
        "rate": float(asked[1].mean()),
        "auc": auc(chances, asked[1]),
        "logloss": logloss(chances, asked[1]),
        "ece": calibration_error(chances, asked[1]),
    }
    warehouse.write_points(divided[0], HYBRID, found, reliability(chances, asked[1]))


def point_report(warehouse: Warehouse) -> dict[str, dict[str, Point]]:
    """What was measured: protocol -> model -> numbers."""
    report: dict[str, dict[str, Point]] = {}
    for row in warehouse.read("points").to_pylist():
        bins: list[Bin] = []
        found = Point(
            rows=int(row["rows"]),
            rate=row["rate"],
            auc=row["auc"],
            logloss=row["logloss"],
            ece=row["ece"],
            accuracy=row["accuracy"],
            reliability=bins,
        )
        report.setdefault(row["protocol"], {})[row["model"]] = found
    for row in warehouse.read("reliability").to_pylist():
        report[row["protocol"]][row["model"]]["reliability"].append(
            Bin(predicted=row["predicted"], observed=row["observed"], n=row["n"])
        )
    return report


def _rows(slates: Slates, division: Split) -> Rows:
    return slates.features, slates.labels(division.relevant), slates.groups
