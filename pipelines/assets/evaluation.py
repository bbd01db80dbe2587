"""The offline evaluation: every protocol, every model, in the warehouse."""

import json
from dataclasses import replace
from pathlib import Path

import dagster as dg

from feature_repo.schema import Modality
from pipelines.assets.materialized import materialized
from pipelines.assets.models import training_set
from pipelines.datasets.planted.oracle import planted_truth, rank_by_truth
from pipelines.home import Facts, Json
from pipelines.searched import ranker_of
from pipelines.windows import CONFIG, newcomer_window, tuned, windows
from pipelines.workspace import Workspace
from ranking.evaluation.comparisons import store_comparisons
from ranking.evaluation.page import PAGE, write_page
from ranking.evaluation.ratings import TRIED
from ranking.evaluation.report import build_report
from ranking.evaluation.report_types import ORACLE, Metrics, Report
from ranking.evaluation.routes_report import RoutesReport, report_of
from ranking.evaluation.routes_report import write as write_routes
from ranking.evaluation.run import content_knn, measure_baselines, measure_hybrid
from ranking.evaluation.seeds import SEEDS
from ranking.evaluation.warehouse import LAYOUT, Warehouse
from ranking.serving.evaluation_summary import EVALUATION
from ranking.splits import Protocol, protocols_of
from ranking.strategy.hybrid import HybridConfig


@dg.asset(group_name="evaluation", deps=[training_set])
def offline_evaluation(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Tuned single models, the hybrid, and the hybrid without each of its parts: full ranking on each protocol."""
    configs = {
        protocol: replace(CONFIG, ranker=ranker_of(workspace, protocol, CONFIG.ranker))
        for protocol in protocols_of(workspace.interactions)
    }

    def make(folder: Path) -> Facts:
        with Warehouse(workspace.settings.warehouse) as warehouse:
            warehouse.write_run(dataset=workspace.dataset_name, seeds=SEEDS)
            routes = {one.value: _measure(workspace, warehouse, one, config) for one, config in configs.items()}
            report = build_report(warehouse)
            write_page(warehouse, report, workspace.settings.reports / PAGE)
        (workspace.settings.reports / EVALUATION).write_text(json.dumps(report, indent=2) + "\n")
        write_routes(workspace.settings.reports, {name: one for name, one in routes.items() if one is not None})
        _draw(report, workspace.settings.reports)
        return {name: _headline(one["models"]) for name, one in report["protocols"].items()}

    config: dict[str, Json] = {"hybrid": repr(CONFIG), "seeds": list(SEEDS), "layout": LAYOUT}
    config |= {f"hybrid {protocol}": repr(one) for protocol, one in configs.items() if one != CONFIG}
    config |= {} if workspace.interactions.rating is None else {"ratings": repr(TRIED)}
    return materialized(workspace.build("offline_evaluation", make, inputs=["training_set"], config=config))


def _measure(
    workspace: Workspace, warehouse: Warehouse, protocol: Protocol, config: HybridConfig
) -> RoutesReport | None:
    """One protocol; one in which nobody can be asked is left out."""
    divided = [window for _, window in windows(workspace, "training_set", protocol)]
    if len(divided) < 2:
        return None
    division, content, users = divided[0].division, workspace.content, workspace.home.read("users")
    warehouse.write_split(division, users)
    workspace.listener.step(f"offline_evaluation {protocol}: baselines", 0, 1)
    measure_baselines(warehouse, division, tuned(workspace, protocol), content)
    truth = planted_truth(workspace.dataset_name, workspace.settings.home)
    if truth is not None:
        ranked, vectors = rank_by_truth(truth, division.queries, division.train), content_knn(content).space.vectors
        warehouse.write_rankings(division, ORACLE, *ranked, vectors=vectors)
    present: list[Modality] = [modality for modality, there in content.present.items() if there.any()]
    progress = workspace.progress(f"offline_evaluation {protocol}: hybrid")
    routes = measure_hybrid(
        warehouse,
        divided,
        content,
        users,
        config,
        modalities=present,
        first=newcomer_window(workspace, "training_set", protocol) if protocol is Protocol.P1 else None,
        progress=progress,
    )
    store_comparisons(warehouse, protocol)
    return report_of(routes)


def _headline(models: dict[str, Metrics]) -> Facts:
    return {name: round(found["ndcg@10"], 4) for name, found in models.items()}


def _draw(report: Report, folder: Path) -> None:
    from ranking.evaluation.plots import plot  # matplotlib takes two seconds to import

    plot(report, folder)
