"""One vector an item and modality, by the chosen encoders; unchanged content is never encoded twice."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from feature_repo.rejected import Rejected
from pipelines.assets.data import items, write_rejected
from pipelines.assets.materialized import materialized
from pipelines.home import Facts, Json
from pipelines.workspace import Workspace
from ranking.representation.augmented import Augmented
from ranking.representation.chosen import audio_encoder, image_encoder, text_encoder
from ranking.representation.embed import examples
from ranking.representation.embed_items import embed_items
from ranking.representation.embedding_store import EmbeddingStore
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.faster import faster

GROUP = "representation"
WORTH_MEASURING = 1_000  # items; fewer are encoded in float32 before a faster model is made (6 to 11 s)


@dg.asset(group_name=GROUP, deps=[items])
def text_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Title, categories and description of each item."""
    return _embeddings(workspace, text_encoder(workspace.settings.encoders))


@dg.asset(group_name=GROUP, deps=[items])
def image_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's picture, else its video's frames."""
    return _embeddings(workspace, image_encoder(workspace.settings.encoders))


@dg.asset(group_name=GROUP, deps=[items])
def audio_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's sound, else its video's sound track."""
    return _embeddings(workspace, audio_encoder(workspace.settings.encoders))


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


def _embeddings(workspace: Workspace, reference: NetworkEncoder[Decoded]) -> dg.MaterializeResult[None]:
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
