"""The hybrid against every other model over the same users: differences, intervals and p-values, stored for reports."""

from typing import Final

import numpy as np
import pyarrow as pa

from ranking.evaluation.lifts import drawn, per_user
from ranking.evaluation.report_types import HEADLINE, HYBRID, REPLICATE, is_baseline
from ranking.evaluation.significance import Values, ci95, holm, randomisation_p, relative_ci95
from ranking.evaluation.warehouse import Warehouse

COLUMNS: Final = pa.schema(
    {
        "model": pa.string(),
        "difference": pa.float64(),
        "difference_ci95": pa.list_(pa.float64()),
        "relative": pa.float64(),
        "ci95": pa.list_(pa.float64()),
        "better": pa.int64(),
        "worse": pa.int64(),
        "p": pa.float64(),
        "p_holm": pa.float64(),
    }
)


def store_comparisons(warehouse: Warehouse, protocol: str) -> None:
    """Compare the hybrid with every other model of a protocol; nothing is stored where one of the two is missing."""
    values = per_user(warehouse.read("ndcg", {"protocol": protocol})).get(HEADLINE, {})
    others = [model for model in values if model != HYBRID and not model.startswith(REPLICATE)]
    if HYBRID not in values or not others:
        return
    draws = drawn({HEADLINE: values})[HEADLINE]
    leads = np.stack([values[HYBRID] - values[model] for model in others], axis=1)
    p = dict(zip(others, randomisation_p(leads).tolist(), strict=True))
    baselines = [model for model in others if is_baseline(model)]
    adjusted = dict(zip(baselines, holm(np.array([p[model] for model in baselines])).tolist(), strict=True))
    rows = [
        _compared(values[HYBRID], values[model], draws[HYBRID], draws[model])
        | {"model": model, "p": p[model], "p_holm": adjusted.get(model)}
        for model in others
    ]
    warehouse.write_comparisons(protocol, pa.Table.from_pylist(rows, COLUMNS))


def _compared(ours: Values, theirs: Values, our_draws: Values, their_draws: Values) -> dict[str, object]:
    """Of one value a user each, and of resampled means."""
    interval = relative_ci95(our_draws, their_draws)
    mean, base = float(ours.mean()), float(theirs.mean())
    return {
        "difference": mean - base,
        "difference_ci95": list(ci95(our_draws - their_draws)),
        "relative": mean / base - 1 if base > 0 else None,
        "ci95": None if interval is None else list(interval),
        "better": int((ours > theirs).sum()),
        "worse": int((ours < theirs).sum()),
    }
