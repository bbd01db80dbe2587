"""What the evaluation found, as `trichord evaluate --json` prints it; all read from the warehouse."""

import json
from typing import Final, NotRequired, TypeAlias, TypedDict

import numpy as np
import pyarrow as pa

from ranking.errors import ArtifactError
from ranking.evaluation.points import Point, point_report
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
ABLATED: Final = (HEADLINE, "warm_items", "cold_items")  # slices that a removed part is judged on
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

# The change of NDCG@10 when a part is removed: negative where the part helps. relative, ci95: without / with - 1, None
# where NDCG@10 with it, or in a draw of users, is 0. difference, difference_ci95: without - with, always there.
Change = TypedDict(
    "Change",
    {
        "ndcg@10": float,
        "relative": float | None,
        "ci95": list[float] | None,
        "difference": float,
        "difference_ci95": list[float],
    },
)


class Ablation(Change):
    """The change for all, and with warm or cold items alone as relevant; absent where no such item is relevant."""

    warm_items: NotRequired[Change]
    cold_items: NotRequired[Change]


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
    point: dict[str, dict[str, Point]]


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
        "point": point_report(warehouse),
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
        "ablation": _ablation(slices, draws),
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
    relative, interval = _change(HYBRID, best, models, draws[HEADLINE])
    return {"baseline": best, "relative": relative, "ci95": interval}


def _ablation(slices: dict[str, dict[str, Metrics]], draws: Draws) -> dict[str, Ablation]:
    found: dict[str, Ablation] = {}
    for model in slices.get(HEADLINE, {}):
        if model.startswith(WITHOUT) and HYBRID in slices[HEADLINE]:
            changes = {name: _removed(model, slices[name], draws[name]) for name in ABLATED if name in slices}
            whole = changes[HEADLINE]
            if "warm_items" in changes:
                whole["warm_items"] = changes["warm_items"]
            if "cold_items" in changes:
                whole["cold_items"] = changes["cold_items"]
            found[model.removeprefix(WITHOUT)] = whole
    return found


def _removed(model: str, models: dict[str, Metrics], draws: dict[str, Values]) -> Ablation:
    relative, interval = _change(model, HYBRID, models, draws)
    return {
        "ndcg@10": models[model]["ndcg@10"],
        "relative": relative,
        "ci95": interval,
        "difference": models[model]["ndcg@10"] - models[HYBRID]["ndcg@10"],
        "difference_ci95": list(ci95(draws[model] - draws[HYBRID])),
    }


def _change(
    model: str, reference: str, models: dict[str, Metrics], draws: dict[str, Values]
) -> tuple[float | None, list[float] | None]:
    """NDCG@10 of model / of reference - 1, and its interval; None where the reference (or a draw of it) is 0."""
    base = models[reference]["ndcg@10"]
    interval = relative_ci95(draws[model], draws[reference])
    relative = models[model]["ndcg@10"] / base - 1 if base > 0 else None
    return relative, None if interval is None else list(interval)
