"""What the generators found, as rows of the warehouse and as a part of the report."""

import pyarrow as pa

from ranking.candidates.reach import Reach
from ranking.evaluation.report_types import Candidates, Found


def generators_of(reach: Reach) -> pa.Table:
    """One row a generator: generator, k, recall, marginal, exclusive, first, as `Gift` says."""
    gifts = reach.gifts
    return pa.table(
        {
            "generator": pa.array(gifts, pa.string()),
            "k": pa.array([reach.k] * len(gifts), pa.int32()),
            "recall": pa.array([one.recall for one in gifts.values()], pa.float64()),
            "marginal": pa.array([one.marginal for one in gifts.values()], pa.float64()),
            "exclusive": pa.array([one.exclusive for one in gifts.values()], pa.int64()),
            "first": pa.array([one.first for one in gifts.values()], pa.float64()),
        }
    )


def budgets_of(reach: Reach) -> pa.Table:
    """One row a generator (or the union) and number of places: generator, k, recall."""
    rows = [(name, k, recall) for name, by_k in reach.by_budget.items() for k, recall in by_k.items()]
    return pa.table(
        {
            "generator": pa.array([name for name, _, _ in rows], pa.string()),
            "k": pa.array([k for _, k, _ in rows], pa.int32()),
            "recall": pa.array([recall for _, _, recall in rows], pa.float64()),
        }
    )


def candidates_report(recall: float, size: float, generators: pa.Table, budgets: pa.Table) -> Candidates:
    """The report's part. generators, budgets: as `generators_of` and `budgets_of` made them, of one protocol."""
    found: dict[str, Found] = {
        row["generator"]: {
            "recall": row["recall"],
            "marginal": row["marginal"],
            "exclusive": row["exclusive"],
            "first": row["first"],
        }
        for row in generators.to_pylist()
    }
    by_budget: dict[str, dict[str, float]] = {}
    for row in budgets.to_pylist():
        by_budget.setdefault(row["generator"], {})[str(row["k"])] = row["recall"]
    return {"recall": recall, "size": size, "generators": found, "by_budget": by_budget}
