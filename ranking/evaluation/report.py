"""What the evaluation found, as `trichord evaluate --json` prints it; all read from the warehouse."""

import json
from typing import TypeAlias, cast

import numpy as np

from ranking.errors import ArtifactError
from ranking.evaluation.candidates import candidates_report
from ranking.evaluation.lifts import Models, PerModel, ablations, best_lift, drawn, per_user, validated_lift
from ranking.evaluation.points import point_report
from ranking.evaluation.ratings import rating_report
from ranking.evaluation.report_types import (
    HEADLINE,
    HYBRID,
    LEAST_USERS,
    REPLICATE,
    SLICES,
    WITHOUT,
    Comparison,
    K,
    Metrics,
    ProtocolReport,
    Report,
    Seeds,
)
from ranking.evaluation.significance import ci95
from ranking.evaluation.warehouse import Warehouse

Asked: TypeAlias = dict[str, str | int | float | None]  # a row of sql/protocols.sql


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
        "ratings": rating_report(warehouse),
    }


def _protocol(warehouse: Warehouse, asked: Asked) -> ProtocolReport:
    protocol = {"protocol": str(asked["protocol"])}
    draws = drawn(per_user(warehouse.read("ndcg", protocol)))
    slices, replicates = _means(warehouse, protocol, draws)
    models = slices.get(HEADLINE, {})
    report: ProtocolReport = {
        "split": json.loads(str(asked["split"])),
        "users": int(asked["users"] or 0),
        "new_users": int(asked["new_users"] or 0),
        "items": int(asked["items"] or 0),
        "cold_item_share": float(asked["cold_item_share"] or 0),
        "models": models,
        "slices": {name: slices[name] for name in SLICES if name in slices},
        "attributes": _attributes(warehouse, protocol, slices),
        "ablation": ablations(slices, draws),
        "comparisons": _comparisons(warehouse, protocol),
    }
    if lift := best_lift(models, draws):
        report["hybrid_vs_best_baseline"] = lift
    if lift := validated_lift(models, draws):
        report["hybrid_vs_validated_baseline"] = lift
    if HYBRID in models and replicates:
        report["seeds"] = _seeds({0: models[HYBRID]["ndcg@10"], **replicates})
        models[HYBRID]["seed_sd"] = report["seeds"]["sd"]
    if asked["candidate_recall"] is not None:
        report["candidates"] = candidates_report(
            float(asked["candidate_recall"]),
            float(asked["candidates"] or 0),
            warehouse.read("candidate_generators", protocol),
            warehouse.read("candidate_budgets", protocol),
        )
    return report


def _means(
    warehouse: Warehouse, protocol: dict[str, str], draws: PerModel
) -> tuple[dict[str, Models], dict[int, float]]:
    """Metrics by slice and model, and apart from them NDCG@10 of the hybrid's replicates by number."""
    slices: dict[str, Models] = {}
    replicates: dict[int, float] = {}
    for row in warehouse.read("summary", protocol).to_pylist():
        name, model = row.pop("slice"), row.pop("model")
        if not model.startswith(REPLICATE):
            row["ci95"] = {"ndcg@10": list(ci95(draws[name][model]))}
            slices.setdefault(name, {})[model] = cast(Metrics, row)
        elif name == HEADLINE:
            replicates[int(model.removeprefix(REPLICATE))] = row["ndcg@10"]
    return slices, replicates


def _seeds(by_seed: dict[int, float]) -> Seeds:
    values = [by_seed[seed] for seed in sorted(by_seed)]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return {"seeds": sorted(by_seed), "ndcg@10": values, "mean": float(np.mean(values)), "sd": sd}


def _attributes(
    warehouse: Warehouse, protocol: dict[str, str], slices: dict[str, Models]
) -> dict[str, dict[str, Models]]:
    """Slices by attribute of enough users; `history` stands among the other slices."""
    found: dict[str, dict[str, Models]] = {}
    for row in warehouse.read("user_slices", protocol).to_pylist():
        if row["slice"] in slices and row["slice"] not in SLICES and row["users"] >= LEAST_USERS:
            models = {name: one for name, one in slices[row["slice"]].items() if not name.startswith(WITHOUT)}
            found.setdefault(row["attribute"], {})[row["slice"]] = models
    return found


def _comparisons(warehouse: Warehouse, protocol: dict[str, str]) -> dict[str, Comparison]:
    rows = warehouse.read("comparisons", protocol).to_pylist()
    return {row.pop("model"): cast(Comparison, row) for row in rows}
