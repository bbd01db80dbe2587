"""Where a text, a picture, a sound or a label would help most, in the warehouse."""

from pathlib import Path

import dagster as dg

from pipelines.assets.data import events, items
from pipelines.assets.materialized import materialized
from pipelines.assets.representation import alignment_model
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.evaluation.warehouse import Warehouse
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.help_wanted import help_wanted_table


@dg.asset(group_name="evaluation", deps=[alignment_model, items, events])
def help_wanted(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Items by what their missing or unclear content costs: uncertainty that help could remove, times demand."""

    def make(folder: Path) -> Facts:
        mapping = FactorMapping.load(workspace.home.folder("alignment_model") / "factor_mapping")
        now = round(workspace.clock.timestamp() * 1e6)
        table = help_wanted_table(mapping, workspace.content, workspace.interactions, workspace.items, now=now)
        with Warehouse(workspace.settings.warehouse) as warehouse:
            warehouse.write_help_wanted(table)
        wanting = table.filter(table["score"].to_numpy() > 0)
        return {
            "rows": len(table),
            "wanting": len(wanting),
            "counted": ", ".join(mapping.choice.heads),
            "first": wanting["item_id"].slice(0, 10).to_pylist(),
        }

    config: Facts = {"until": workspace.clock.isoformat()}
    return materialized(
        workspace.build("help_wanted", make, inputs=["alignment_model", "items", "events"], config=config)
    )
