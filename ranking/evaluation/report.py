"""What the evaluation found, as `trichord evaluate --json` prints it; all read from the warehouse."""

import json
from typing import Final, NotRequired, TypeAlias, TypedDict

import numpy as np
import pyarrow as pa

from ranking.errors import ArtifactError
from ranking.evaluation.significance import Values, ci95, relative_ci95, resampled_means
from ranking.evaluation.warehouse import Warehouse

K: Final = 10
HEADLINE: Final = "all"  # the slice of all users with a history
SLICES: Final = (  # in the order shown; defined in sql/targets.sql
    "warm_items",
    "cold_items",
    "head_items",
    "tail_items",
    "new_users",
    "short_history",
    "medium_history",
    "long_history",
)
HYBRID: Final = "hybrid"
WITHOUT: Final = "hybrid-"  # "hybrid-image" is the hybrid without images
ORACLE: Final = "oracle"  # knows a planted world's truth: a ceiling, no baseline

# Means over a slice's users, with `users` and `ci95` of NDCG@10 beside them.
Metrics = TypedDict(
    "Metrics",
    {
        "users": int,
        "ndcg@10": float,
        "recall@10": float,
        "recall@50": float,
        "recall@200": float,
        "mrr@10": float,
        "hit@10": float,
        "coverage@10": float,
        "fit_s": float | None,
        "ci95": dict[str, list[float]],
    },
)

# The change of NDCG@10 when a part is removed, without / with - 1: negative where the part helps.
Ablation = TypedDict("Ablation", {"ndcg@10": float, "relative": float | None, "ci95": list[float] | None})


class Lift(TypedDict):
    """The hybrid's NDCG@10 / the best baseline's - 1; the baseline is best on these very users, in hindsight."""

    baseline: str
    relative: float | None
    ci95: list[float] | None


class Candidates(TypedDict):
    """What the union of generators holds of the relevant items, means over users: the rankers' ceiling."""

    recall: float
    size: float


class ProtocolReport(TypedDict):
    """One protocol; users: evaluated ones with a history; items: the whole catalogue."""

    split: dict[str, str | int | float]
    users: int
    new_users: int
    items: int
    cold_item_share: float
    models: dict[str, Metrics]
    slices: dict[str, dict[str, Metrics]]
    ablation: dict[str, Ablation]
    hybrid_vs_best_baseline: NotRequired[Lift]
    candidates: NotRequired[Candidates]


class Report(TypedDict):
    """The whole evaluation of one data set."""

    release: str | None
    dataset: str
    k: int
    seeds: list[int]
    protocols: dict[str, ProtocolReport]


Draws: TypeAlias = dict[str, dict[str, Values]]  # slice -> model -> resampled means of NDCG@10


def build_report(warehouse: Warehouse) -> Report:
    """Read the report; raises `ArtifactError` when nothing has been evaluated yet."""
    run = warehouse.read("run").to_pylist()
    if not run:
        raise ArtifactError("the warehouse holds no evaluation yet; `trichord run` makes one")
    asked = warehouse.read("protocols").to_pylist()
    return {
        "release": run[0]["release"],
        "dataset": run[0]["dataset"],
        "k": K,
        "seeds": run[0]["seeds"],
        "protocols": {row["protocol"]: _protocol(warehouse, row) for row in asked},
    }


def _protocol(warehouse: Warehouse, asked: dict[str, str | int | float | None]) -> ProtocolReport:
    protocol = {"protocol": str(asked["protocol"])}
    draws = _draws(warehouse.read("ndcg", protocol))
    slices: dict[str, dict[str, Metrics]] = {}
    for row in warehouse.read("summary", protocol).to_pylist():
        name, model = row.pop("slice"), row.pop("model")
        row["ci95"] = {"ndcg@10": list(ci95(draws[name][model]))}
        slices.setdefault(name, {})[model] = row
    models = slices.get(HEADLINE, {})
    report: ProtocolReport = {
        "split": json.loads(str(asked["split"])),
        "users": int(asked["users"] or 0),
        "new_users": int(asked["new_users"] or 0),
        "items": int(asked["items"] or 0),
        "cold_item_share": float(asked["cold_item_share"] or 0),
        "models": models,
        "slices": {name: slices[name] for name in SLICES if name in slices},
        "ablation": _ablation(models, draws),
    }
    if lift := _lift(models, draws):
        report["hybrid_vs_best_baseline"] = lift
    if asked["candidate_recall"] is not None:
        report["candidates"] = {"recall": float(asked["candidate_recall"]), "size": float(asked["candidates"] or 0)}
    return report


def _draws(ndcg: pa.Table) -> Draws:
    """Resampled means by slice and model; within a slice every model is averaged over the same drawn users."""
    slice_of = np.asarray(ndcg["slice"].to_pylist(), object)
    model_of = np.asarray(ndcg["model"].to_pylist(), object)
    value = ndcg["ndcg@10"].to_numpy()
    draws: Draws = {}
    for name in dict.fromkeys(slice_of):
        mine = slice_of == name
        models = list(dict.fromkeys(model_of[mine]))
        means = resampled_means(value[mine].reshape(len(models), -1).T)
        draws[name] = dict(zip(models, means.T, strict=True))
    return draws


def is_baseline(model: str) -> bool:
    """Whether the hybrid must beat it: everything but the hybrid, its ablations and a planted world's oracle."""
    return model not in (HYBRID, ORACLE) and not model.startswith(WITHOUT)


def _lift(models: dict[str, Metrics], draws: Draws) -> Lift | None:
    baselines = [model for model in models if is_baseline(model)]
    if HYBRID not in models or not baselines:
        return None
    best = max(baselines, key=lambda model: models[model]["ndcg@10"])
    relative, interval = _change(HYBRID, best, models, draws)
    return {"baseline": best, "relative": relative, "ci95": interval}


def _ablation(models: dict[str, Metrics], draws: Draws) -> dict[str, Ablation]:
    found: dict[str, Ablation] = {}
    for model in models:
        if model.startswith(WITHOUT) and HYBRID in models:
            relative, interval = _change(model, HYBRID, models, draws)
            part = model.removeprefix(WITHOUT)
            found[part] = {"ndcg@10": models[model]["ndcg@10"], "relative": relative, "ci95": interval}
    return found


def _change(
    model: str, reference: str, models: dict[str, Metrics], draws: Draws
) -> tuple[float | None, list[float] | None]:
    """NDCG@10 of model / of reference - 1, and its interval; None where the reference (or a draw of it) is 0."""
    base = models[reference]["ndcg@10"]
    interval = relative_ci95(draws[HEADLINE][model], draws[HEADLINE][reference])
    relative = models[model]["ndcg@10"] / base - 1 if base > 0 else None
    return relative, None if interval is None else list(interval)
