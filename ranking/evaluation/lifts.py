"""How much better one model is than another over the same users: lifts over baselines, ablations."""

from typing import TypeAlias

import numpy as np
import pyarrow as pa

from ranking.evaluation.report_types import (
    ABLATED,
    HEADLINE,
    HYBRID,
    RANKER_ALONE,
    WITHOUT,
    Ablation,
    Lift,
    Metrics,
    is_baseline,
)
from ranking.evaluation.significance import Values, ci95, relative_ci95, resampled_means

Models: TypeAlias = dict[str, Metrics]
PerModel: TypeAlias = dict[str, dict[str, Values]]  # slice -> model -> one value a user, or a draw of users


def per_user(ndcg: pa.Table) -> PerModel:
    """NDCG@10 of every user by slice and model; within a slice every model has the same users, in the same order."""
    slice_of = np.asarray(ndcg["slice"].to_pylist(), object)
    model_of = np.asarray(ndcg["model"].to_pylist(), object)
    value = ndcg["ndcg@10"].to_numpy()
    found: PerModel = {}
    for name in dict.fromkeys(slice_of):
        mine = slice_of == name
        models = list(dict.fromkeys(model_of[mine]))
        found[name] = dict(zip(models, value[mine].reshape(len(models), -1), strict=True))
    return found


def drawn(values: PerModel) -> PerModel:
    """Resampled means; within a slice every model is averaged over the same drawn users."""
    return {
        name: dict(zip(models, resampled_means(np.stack(list(models.values()), axis=1)).T, strict=True))
        for name, models in values.items()
    }


def best_lift(models: Models, draws: PerModel) -> Lift | None:
    """Over the baseline that is best on these very users: hindsight in the baselines' favour."""
    return _lift({model: models[model]["ndcg@10"] for model in models if is_baseline(model)}, models, draws)


def validated_lift(models: Models, draws: PerModel) -> Lift | None:
    """Over the baseline that was best on validation, before anybody had seen these users."""
    scores = {model: models[model]["validation_ndcg"] for model in models if is_baseline(model)}
    return _lift({model: score for model, score in scores.items() if score is not None}, models, draws)


def _lift(scores: dict[str, float], models: Models, draws: PerModel) -> Lift | None:
    if HYBRID not in models or not scores:
        return None
    best = max(scores, key=lambda model: scores[model])
    relative, interval = _change(HYBRID, best, models, draws[HEADLINE])
    return {"baseline": best, "relative": relative, "ci95": interval}


def ablations(slices: dict[str, Models], draws: PerModel) -> dict[str, Ablation]:
    """What the hybrid loses without each part, for all and by warm and cold items.

    `routes` is compared with the hybrid; every other part with the hybrid without routes, where that was measured.
    """
    found: dict[str, Ablation] = {}
    models = slices.get(HEADLINE, {})
    whole_ranker = RANKER_ALONE if RANKER_ALONE in models else HYBRID
    for model in models:
        if model.startswith(WITHOUT) and HYBRID in models:
            reference = HYBRID if model == RANKER_ALONE else whole_ranker
            changes = {
                name: _removed(model, reference, slices[name], draws[name]) for name in ABLATED if name in slices
            }
            whole = changes[HEADLINE]
            if "warm_items" in changes:
                whole["warm_items"] = changes["warm_items"]
            if "cold_items" in changes:
                whole["cold_items"] = changes["cold_items"]
            found[model.removeprefix(WITHOUT)] = whole
    return found


def _removed(model: str, reference: str, models: Models, draws: dict[str, Values]) -> Ablation:
    relative, interval = _change(model, reference, models, draws)
    return {
        "ndcg@10": models[model]["ndcg@10"],
        "relative": relative,
        "ci95": interval,
        "difference": models[model]["ndcg@10"] - models[reference]["ndcg@10"],
        "difference_ci95": list(ci95(draws[model] - draws[reference])),
    }


def _change(
    model: str, reference: str, models: Models, draws: dict[str, Values]
) -> tuple[float | None, list[float] | None]:
    """NDCG@10 of model / of reference - 1, and its interval; None where the reference (or a draw of it) is 0."""
    base = models[reference]["ndcg@10"]
    interval = relative_ci95(draws[model], draws[reference])
    relative = models[model]["ndcg@10"] / base - 1 if base > 0 else None
    return relative, None if interval is None else list(interval)
