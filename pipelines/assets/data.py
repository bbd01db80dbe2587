"""Items, users and events of the dataset, checked and in the lake; events by way of the event log."""

import json
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.rejected import Rejected
from feature_repo.schema import EventKind
from pipelines.assets.materialized import materialized
from pipelines.home import Facts
from pipelines.workspace import KINDS, VECTORS, Workspace
from ranking.representation.precomputed import precomputed_table

GROUP = "data"
PARTS = "parts.parquet"  # event_id and part, of a dataset with a split of its own; beside the stamp of `event_log`


@dg.asset(group_name=GROUP)
def items(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The catalogue: text, categories, pictures, sounds and videos by path, further attributes, given vectors."""

    def make(folder: Path) -> Facts:
        dataset = workspace.dataset
        workspace.home.write(folder, dataset.items)
        for modality, given in dataset.vectors.items():
            pq.write_table(precomputed_table(given, modality), folder / f"{modality}_{VECTORS}")
        return {"rows": len(dataset.items), "rejected": write_rejected(folder, dataset.rejected)}

    config: Facts = {"dataset": workspace.dataset_fingerprint, "columns": [*schema.ITEMS.names]}
    return materialized(workspace.build("items", make, config=config))


@dg.asset(group_name=GROUP, deps=["event_log"])
def users(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Everybody whom the dataset or the event log names, with attributes where the dataset has them."""

    def make(folder: Path) -> Facts:
        table = workspace.known_users()
        workspace.home.write(folder, table)
        return {"rows": len(table)}

    config: Facts = {"dataset": workspace.dataset_fingerprint, **_logged(workspace)}
    return materialized(workspace.build("users", make, config=config))


@dg.asset(group_name=GROUP)
def event_log(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """The dataset's events in the event log, each once; events posted by apps stand there already."""

    def make(folder: Path) -> Facts:
        kinds = TypeAdapter(tuple[EventKind, ...]).dump_json(workspace.dataset.kinds, indent=2)
        (folder / KINDS).write_bytes(kinds)
        events = workspace.dataset.events
        if schema.PART in events.column_names:
            pq.write_table(events.select([schema.EVENT_ID, schema.PART]), folder / PARTS)
        appended = workspace.log.append(events)
        workspace.log.compact()
        return {"new": appended.accepted, "known": appended.duplicates}

    return materialized(workspace.build("event_log", make, config={"dataset": workspace.dataset_fingerprint}))


@dg.asset(group_name=GROUP, deps=[event_log])
def events(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Everything that happened, in order, with each event's weight and whether it is positive."""

    def make(folder: Path) -> Facts:
        table = _with_parts(label_events(workspace.log.read(), workspace.kinds), workspace.home.folder("event_log"))
        workspace.home.write(folder, table)
        return {"rows": len(table)}

    return materialized(workspace.build("events", make, inputs=["event_log"], config=_logged(workspace)))


def _logged(workspace: Workspace) -> Facts:
    """What changes whenever the event log does."""
    logged: Facts = {"events": len(workspace.log)}
    if len(workspace.log.forgotten):  # else what was made before anybody could be forgotten would be made again
        logged["forgotten"] = len(workspace.log.forgotten)
    return logged


def _with_parts(events: pa.Table, log: Path) -> pa.Table:
    """The events with a further column that says which part of the dataset's own split they are, if it has one."""
    if not (log / PARTS).exists():
        return events
    parts = pq.read_table(log / PARTS)
    place = pc.index_in(events[schema.EVENT_ID], parts[schema.EVENT_ID].combine_chunks())
    return events.append_column(schema.PART, parts[schema.PART].take(place))


def write_rejected(folder: Path, rejected: Rejected) -> Facts:
    """Keep what was rejected beside the artifact: counts and the first examples of each reason."""
    document = {"counts": rejected.to_arrow().to_pylist(), "examples": rejected.examples}
    (folder / "rejected.json").write_text(json.dumps(document, indent=2) + "\n")
    return {f"{table}.{reason}": count for (table, reason), count in sorted(rejected.counts.items())}
