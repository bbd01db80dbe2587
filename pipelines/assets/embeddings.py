"""One vector an item and modality, by the chosen encoders; unchanged content is never encoded twice."""

from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from feature_repo.rejected import Rejected
from pipelines.assets.data import items, write_rejected
from pipelines.assets.materialized import materialized
from pipelines.home import Facts, Json
from pipelines.workspace import Workspace
from ranking.representation.audio import AudioEncoder
from ranking.representation.augmented import Augmented
from ranking.representation.embed import embed, examples
from ranking.representation.embedding_store import EmbeddingStore
from ranking.representation.encoder import Decoded, Encoder, NetworkEncoder
from ranking.representation.image import ImageEncoder
from ranking.representation.pretrained_audio import PretrainedAudioEncoder
from ranking.representation.pretrained_image import PretrainedImageEncoder
from ranking.representation.pretrained_text import PretrainedTextEncoder
from ranking.representation.quantized import faster
from ranking.representation.text import TextEncoder

GROUP = "representation"
WORTH_QUANTIZING = 1_000  # items; fewer are encoded in float32 before a quantized model is made (6 to 11 s)


@dg.asset(group_name=GROUP, deps=[items])
def text_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Title, categories and description of each item."""
    chosen = workspace.settings.encoders
    if chosen.text is None:
        return _embeddings(workspace, _quantized(workspace, TextEncoder()))
    encoder = PretrainedTextEncoder(chosen.text, pooling=chosen.text_pooling, prefix=chosen.text_prefix)
    return _embeddings(workspace, encoder)


@dg.asset(group_name=GROUP, deps=[items])
def image_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's picture."""
    name = workspace.settings.encoders.image
    if name is None:
        return _embeddings(workspace, _quantized(workspace, ImageEncoder()))
    return _embeddings(workspace, PretrainedImageEncoder(name))


@dg.asset(group_name=GROUP, deps=[items])
def audio_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's sound."""
    name = workspace.settings.encoders.audio
    if name is None:
        return _embeddings(workspace, _quantized(workspace, AudioEncoder()))
    return _embeddings(workspace, PretrainedAudioEncoder(name))


def _quantized(workspace: Workspace, encoder: NetworkEncoder[Decoded]) -> Encoder[Decoded]:
    """The encoder in int8 where that is true enough and there is enough to encode."""

    def sample(n: int) -> list[Decoded]:
        if len(workspace.items) < WORTH_QUANTIZING:
            return []
        return examples(workspace.items, encoder, _store(workspace), media_root=workspace.dataset.media_root, n=n)

    settings = workspace.settings
    return faster(encoder, sample, settings.quantized, least_cosine=settings.encoders.least_cosine)


def _store(workspace: Workspace) -> EmbeddingStore:
    return EmbeddingStore(workspace.settings.lake / "embeddings")


def _embeddings(workspace: Workspace, encoder: Encoder[Decoded]) -> dg.MaterializeResult[None]:
    name = f"{encoder.modality}_embeddings"

    def make(folder: Path) -> Facts:
        rejected = Rejected()
        run = embed(
            workspace.items,
            encoder,
            _store(workspace),
            media_root=workspace.dataset.media_root,
            rejected=rejected,
            progress=workspace.progress(name),
        )
        workspace.home.write(folder, run.table)
        for number in range(1, workspace.alignment.views + 1):
            view = embed(
                workspace.items,
                Augmented(encoder, number),
                _store(workspace),
                media_root=workspace.dataset.media_root,
                rejected=Rejected(),  # said already
                progress=workspace.progress(f"{name}, view {number}"),
            )
            pq.write_table(view.table, folder / f"view{number}.parquet")
        counts: Facts = {"encoded": run.encoded, "reused_vectors": run.reused, "missing": run.missing}
        return counts | {"rejected": write_rejected(folder, rejected)}

    config: dict[str, Json] = {"encoder": encoder.id, "views": workspace.alignment.views}
    return materialized(workspace.build(name, make, inputs=["items"], config=config))
