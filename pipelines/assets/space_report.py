"""What the aligned space is like: cross-modal recall, and a map of the items."""

from pathlib import Path

import dagster as dg

from pipelines.assets.data import events
from pipelines.assets.materialized import materialized
from pipelines.assets.representation import EMBEDDINGS, vector_index
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.evaluation.cross_modal import PRODUCT, cross_modal
from ranking.evaluation.item_map import ItemMap
from ranking.evaluation.space_report import write
from ranking.rankers.space import Space


@dg.asset(group_name="evaluation", deps=[vector_index, events])
def space_report(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Whether one modality of an unseen item finds another, against chance and alignment; the items on a picture."""

    def make(folder: Path) -> Facts:
        content, progress = workspace.content, workspace.progress("space_report")
        crossings = cross_modal(content, workspace.interactions, progress=progress)
        drawn = ItemMap.of(Space.load(workspace.home.folder("vector_index")).fused, content)
        write(workspace.settings.reports, crossings, drawn, title=f"{workspace.dataset_name}: items by content")
        recalls = {f"{one['asked']}_{one['found']}": one["models"][PRODUCT]["recall@10"] for one in crossings}
        return {"recall@10": dict(recalls), "drawn": 0 if drawn is None else len(drawn.places)}

    inputs = [*EMBEDDINGS, "items", "events", "users", "vector_index"]
    return materialized(workspace.build("space_report", make, inputs=inputs))
