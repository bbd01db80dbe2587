"""One vector an item and modality, by the chosen encoders or as the dataset gives it.

Unchanged content is never encoded twice; of a modality whose vectors are given nothing is encoded at all.
"""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from feature_repo.settings import Encoders
from pipelines.assets.data import items, write_rejected
from pipelines.assets.materialized import materialized
from pipelines.home import Facts, Json
from pipelines.workspace import Workspace
from ranking.representation.augmented import Augmented
from ranking.representation.chosen import audio_encoder, image_encoder, text_encoder
from ranking.representation.embed import examples
from ranking.representation.embed_items import embed_items
from ranking.representation.embedding_store import ENCODER_ID, EmbeddingStore
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.faster import faster

GROUP = "representation"
WORTH_MEASURING = 1_000  # items; fewer are encoded in float32 before a faster model is made (6 to 11 s)


@dg.asset(group_name=GROUP, deps=[items])
def text_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Title, categories and description of each item."""
    return _embeddings(workspace, Modality.TEXT, text_encoder)


@dg.asset(group_name=GROUP, deps=[items])
def image_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's picture, else its video's frames."""
    return _embeddings(workspace, Modality.IMAGE, image_encoder)


@dg.asset(group_name=GROUP, deps=[items])
def audio_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's sound, else its video's sound track."""
    return _embeddings(workspace, Modality.AUDIO, audio_encoder)


def quickened(workspace: Workspace, encoder: NetworkEncoder[Decoded]) -> Encoder[Decoded]:
    """The encoder in int8 or bfloat16 where that is true enough and there is enough to encode."""

    def sample(n: int) -> list[Decoded]:
        if len(workspace.items) < WORTH_MEASURING:
            return []
        return examples(
            workspace.items, encoder, embedding_store(workspace), media_root=workspace.dataset.media_root, n=n
        )

    settings = workspace.settings
    return faster(encoder, sample, settings.quantized, least_cosine=settings.encoders.least_cosine)


def embedding_store(workspace: Workspace) -> EmbeddingStore:
    """All vectors that a home's encoders have made."""
    return EmbeddingStore(workspace.settings.lake / "embeddings")


def _embeddings(
    workspace: Workspace, modality: Modality, choose: Callable[[Encoders], NetworkEncoder[Decoded]]
) -> dg.MaterializeResult[None]:
    given = workspace.given_vectors(modality)
    if given is not None:
        return _given(workspace, f"{modality}_embeddings", given)
    return _encoded(workspace, choose(workspace.settings.encoders))


def _given(workspace: Workspace, name: str, vectors: pa.Table) -> dg.MaterializeResult[None]:
    """Vectors that came with the dataset; every view of them is the same, as there is nothing to augment."""

    def make(folder: Path) -> Facts:
        workspace.home.write(folder, vectors)
        for number in range(1, workspace.alignment.views + 1):
            pq.write_table(vectors, folder / f"view{number}.parquet")
        return {"given": len(vectors), "missing": len(workspace.items) - len(vectors)}

    config: dict[str, Json] = {"encoder": vectors[ENCODER_ID][0].as_py(), "views": workspace.alignment.views}
    return materialized(workspace.build(name, make, inputs=["items"], config=config))


def _encoded(workspace: Workspace, reference: NetworkEncoder[Decoded]) -> dg.MaterializeResult[None]:
    encoder = quickened(workspace, reference)
    name = f"{encoder.modality}_embeddings"

    def make(folder: Path) -> Facts:
        rejected = Rejected()
        run = embed_items(
            workspace.items,
            encoder,
            embedding_store(workspace),
            media_root=workspace.dataset.media_root,
            rejected=rejected,
            progress=workspace.progress(name),
        )
        workspace.home.write(folder, run.table)
        for number in range(1, workspace.alignment.views + 1):
            view = embed_items(
                workspace.items,
                Augmented(encoder, number),
                embedding_store(workspace),
                media_root=workspace.dataset.media_root,
                rejected=Rejected(),  # said already
                progress=workspace.progress(f"{name}, view {number}"),
            )
            pq.write_table(view.table, folder / f"view{number}.parquet")
        counts: Facts = {"encoded": run.encoded, "reused_vectors": run.reused, "missing": run.missing}
        return counts | {"rejected": write_rejected(folder, rejected)}

    config: dict[str, Json] = {"encoder": encoder.id, "views": workspace.alignment.views}
    return materialized(workspace.build(name, make, inputs=["items"], config=config))
