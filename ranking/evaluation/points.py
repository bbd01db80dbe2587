"""Point predictions: how likely each candidate was to be chosen, as told beforehand, against what came."""

from collections.abc import Sequence

from ranking.evaluation.report_types import HYBRID, Bin, Point
from ranking.evaluation.warehouse import Warehouse
from ranking.point_metrics import auc, calibration_error, logloss, reliability
from ranking.rankers.probability import Probability, Rows
from ranking.rankers.slates import Slates
from ranking.rankers.trees import Trees
from ranking.splits import Split


def measure_points(warehouse: Warehouse, divided: Sequence[Split], slates: Sequence[Slates], earlier: Trees) -> None:
    """Trees that learned from what was before window 1 are calibrated on it and predict window 0, the latest.

    Nothing is measured without a relevant candidate.
    """
    asked, later = [_rows(one, division) for one, division in zip(slates[:2], divided[:2], strict=True)]
    if not asked[1].any():
        return
    chances = Probability.calibrated(earlier, later).predict(asked[0])
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
