"""Items and users as vectors of one space."""

from pathlib import Path

import dagster as dg
import numpy as np
import pyarrow as pa

from feature_repo import schema
from pipelines.assets.data import events, users
from pipelines.assets.embeddings import GROUP, audio_embeddings, image_embeddings, text_embeddings
from pipelines.assets.materialized import materialized
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.candidates.history import Feedback, Memory
from ranking.candidates.located import taste_vectors
from ranking.rankers.space import Space
from ranking.representation.alignment import Alignment
from ranking.representation.cross_modal import CrossModal, fit_pairs
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.index import VectorIndex
from ranking.representation.inputs import has_content
from ranking.representation.vector_table import int8_errors, vector_table
from ranking.serving.pair_spaces import CROSS_MODAL, save_pairs
from ranking.serving.similar import ALL, INDEX, space_vectors
from ranking.strategy.fit import place_items
from ranking.types import Floats, IdIndex, Queries

# NDCG@10 by the cosine with such a vector, P2: planted world .1005 (without fading .0974, without weights too .0945),
# ml-latest-small .0969 (.0981: no difference); half-lives of 30 days .1052 and .0955, of 365 days .0976 and .0992
TASTE = Memory(feedback=Feedback.POSITIVE, half_life_days=90)
EMBEDDINGS = ("text_embeddings", "image_embeddings", "audio_embeddings")


@dg.asset(group_name=GROUP, deps=[text_embeddings, image_embeddings, audio_embeddings, events, users])
def alignment_model(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """A head and a gate a modality, learned from what users like: text, image, sound and behaviour in one space."""

    def make(folder: Path) -> Facts:
        progress = workspace.progress("alignment_model")
        content, log = workspace.content, workspace.interactions
        Alignment.fit(
            content, log, config=workspace.alignment, views=workspace.content_views(), progress=progress
        ).save(folder)
        pairs = fit_pairs(content)
        (folder / CROSS_MODAL).mkdir()
        for name, model in pairs.items():
            model.save(folder / CROSS_MODAL / f"{name}.safetensors")
        mapping = FactorMapping.fit(content, log)
        (folder / "factor_mapping").mkdir()
        mapping.save(folder / "factor_mapping")
        chosen = mapping.choice
        return {
            "modalities": ", ".join(content.vectors),
            "new_items_by": ", ".join(chosen.heads),
            "new_items_ndcg": {**chosen.ndcg},
            "cross_modal": ", ".join(pairs),
        }

    inputs = [*EMBEDDINGS, "items", "events", "users"]
    config = {"alignment": repr(workspace.alignment)}
    return materialized(workspace.build("alignment_model", make, inputs=inputs, config=config))


@dg.asset(group_name=GROUP, deps=[alignment_model])
def vector_index(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Where every item lies, and an index of it: all modalities together, each alone, by audience, and in pairs."""

    def make(folder: Path) -> Facts:
        models = workspace.home.folder("alignment_model")
        mapping = FactorMapping.load(models / "factor_mapping")
        space = place_items(Alignment.load(models), mapping, workspace.content)
        space.save(folder)
        built = {}
        for name, vectors in space_vectors(space).items():
            tastes = _tastes(workspace, vectors)
            queries = np.concatenate([vectors[has_content(vectors)], tastes[has_content(tastes)]])
            built[name] = VectorIndex.build(vectors, workspace.settings.index, queries=queries)
            place = folder / INDEX / name
            place.mkdir(parents=True)
            built[name].save(place)
        pairs = {file.stem: CrossModal.load(file) for file in sorted((models / CROSS_MODAL).iterdir())}
        save_pairs(folder / CROSS_MODAL, pairs, workspace.content, workspace.settings.index)
        return {
            "items": len(space.fused),
            "dimensions": space.fused.shape[1],
            "exact": all(one.info.exact for one in built.values()),
            "recall_against_exact": {name: round(one.info.recall, 4) for name, one in built.items()},
        }

    config: Facts = {"index": workspace.settings.index.model_dump()}
    return materialized(workspace.build("vector_index", make, inputs=["alignment_model"], config=config))


@dg.asset(group_name=GROUP, deps=[vector_index])
def item_vectors(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Aligned item vectors as a feature, as of the data's clock."""

    def make(folder: Path) -> Facts:
        spaces = space_vectors(Space.load(workspace.home.folder("vector_index")))
        ids = workspace.interactions.items
        workspace.home.write(folder, vector_table(schema.ITEM_ID, ids.ids, spaces))
        counts = _write_vectors(workspace, "item_vectors", schema.ITEM_ID, ids, spaces[ALL])
        return counts | {"int8_least_cosine": {**int8_errors(spaces)}}

    return materialized(workspace.build_view("item_vectors", make, inputs=["vector_index"]))


@dg.asset(group_name=GROUP, deps=[vector_index])
def user_vectors(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Users among the items: what they liked, by the weight of each event and how long ago, as of the data's clock."""

    def make(folder: Path) -> Facts:
        vectors = _tastes(workspace, Space.load(workspace.home.folder("vector_index")).fused)
        ids = workspace.interactions.users
        workspace.home.write(folder, vector_table(schema.USER_ID, ids.ids, {ALL: vectors}))
        counts = _write_vectors(workspace, "user_vectors", schema.USER_ID, ids, vectors)
        return counts | {"int8_least_cosine": {**int8_errors({ALL: vectors})}}

    return materialized(workspace.build_view("user_vectors", make, inputs=["vector_index", "events", "users"]))


def _tastes(workspace: Workspace, vectors: Floats) -> Floats:
    """Every user's place among the items as of the data's clock, float32 [users, d], 0 without a like."""
    log = workspace.interactions
    now = np.full(len(log.users), pa.scalar(workspace.clock, schema.TIMESTAMP).cast(pa.int64()).as_py())
    queries = Queries.from_interactions(log, np.arange(len(log.users), dtype=np.int32), now)
    return taste_vectors(queries, vectors, TASTE)


def _write_vectors(workspace: Workspace, view: str, key: str, index: IdIndex, vectors: Floats) -> Facts:
    """Rows of a vector view for the entities that have a vector."""
    placed = vectors.any(axis=1)
    flat = pa.array(vectors[placed].reshape(-1))
    rows = pa.table(
        {
            key: pa.array(index.ids, pa.string()).filter(pa.array(placed)),
            schema.EVENT_TIMESTAMP: pa.repeat(pa.scalar(workspace.clock, schema.TIMESTAMP), int(placed.sum())),
            view.removesuffix("s"): pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
        }
    )
    workspace.store.write_view(view, rows)
    return {"rows": len(rows), "without_vector": int((~placed).sum())}
