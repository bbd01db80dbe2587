"""The release: everything that answers a request, put together, published and made current."""

import json
import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import dagster as dg
from pydantic import TypeAdapter

from feature_repo.schema import RANKING, RETRIEVAL, Modality
from pipelines.assets.evaluation import offline_evaluation
from pipelines.assets.features import online_features
from pipelines.assets.materialized import materialized
from pipelines.assets.models import collaborative_models, lambdarank_model
from pipelines.home import Facts
from pipelines.profiles import save_profiles
from pipelines.searched import ranker_of
from pipelines.windows import CONFIG, hybrid_config
from pipelines.workspace import Workspace
from ranking.artifacts import load_as
from ranking.evaluation.report_types import HYBRID
from ranking.evaluation.seeds import SEEDS
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.blend import Blend
from ranking.rankers.knowledge import Knowledge
from ranking.rankers.space import Space
from ranking.representation.embedding_store import ENCODER_ID
from ranking.serving.catalogue import save_parts
from ranking.serving.evaluation_summary import EVALUATION, save_summary
from ranking.serving.releases import Manifest, Releases
from ranking.serving.similar import save_search
from ranking.splits import served_protocol
from ranking.strategy.generators import load_generators
from ranking.strategy.hybrid import Hybrid, HybridConfig
from ranking.strategy.routes import Routes

PARTS = [
    "candidate_sets",
    "collaborative_models",
    "lambdarank_model",
    "alignment_model",
    "vector_index",
    "items",
    "events",
    "offline_evaluation",
]
LIBRARIES = ("trichord", "feast", "lightgbm", "torch", "transformers", "duckdb", "numpy", "faiss-cpu")


@dg.asset(group_name="release", deps=[collaborative_models, lambdarank_model, offline_evaluation, online_features])
def release(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """A new release, current from now on; servers follow without a restart."""

    def make(folder: Path) -> Facts:
        release_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        releases = Releases.of(workspace.settings)
        releases.publish(release_id, lambda place: _fill(workspace, place, release_id))
        releases.promote(release_id)
        with Warehouse(workspace.settings.warehouse) as warehouse:
            warehouse.write_run(dataset=workspace.dataset_name, seeds=SEEDS, release=release_id)
        return {"release": release_id}

    return materialized(workspace.build("release", make, inputs=[*PARTS, "online_features"]))


def _fill(workspace: Workspace, place: Path, release_id: str) -> Manifest:
    """Write every part into a release's new folder."""
    home = workspace.home
    space = Space.load(home.folder("vector_index"))
    ranker = ranker_of(workspace, served_protocol(workspace.interactions), CONFIG.ranker)
    config = replace(hybrid_config(workspace), ranker=ranker)
    hybrid = Hybrid(
        config,
        items=workspace.content.items,
        created_at=workspace.content.created_at,
        generators=load_generators(home.folder("collaborative_models")),
        knowledge=Knowledge.fit(workspace.interactions, workspace.content, space, home.read("users")),
        vocabulary=load_as(home.folder("lambdarank_model") / "vocabulary.json", dict[str, tuple[str, ...]]),
        ranker=Blend.load(home.folder("lambdarank_model")),
        routes=Routes.load(home.folder("lambdarank_model")),
    )
    save_parts(place, hybrid, workspace.items)
    save_search(place, indexes=home.folder("vector_index"), alignment=home.folder("alignment_model"))
    save_profiles(workspace, space.fused, place)
    save_summary(place, workspace.settings.reports / EVALUATION)
    return Manifest(
        id=release_id,
        created_at=datetime.now(UTC),
        dataset=workspace.dataset_name,
        kinds=workspace.kinds,
        data_until=workspace.clock,
        service=RANKING,
        services=(RANKING, RETRIEVAL),
        encoders=encoders_of(workspace),
        seeds=CONFIG.ranker.trees.seeds,
        metrics=_metrics(workspace.settings.reports / EVALUATION),
        suites=workspace.suites,
        versions={name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
        config=TypeAdapter(HybridConfig).dump_python(config, mode="json"),
    )


def encoders_of(workspace: Workspace) -> dict[Modality, str]:
    """The encoder id of each modality that any item has a vector of."""
    tables = {modality: workspace.home.read(f"{modality}_embeddings") for modality in Modality}
    return {modality: table[ENCODER_ID][0].as_py() for modality, table in tables.items() if len(table)}


def _metrics(report: Path) -> dict[str, float]:
    """NDCG@10 of the hybrid by protocol."""
    protocols = json.loads(report.read_text())["protocols"]
    return {f"{name}.ndcg@10": one["models"][HYBRID]["ndcg@10"] for name, one in protocols.items()}
