"""One vector an item and modality, by the chosen encoders; unchanged content is never encoded twice."""

from pathlib import Path

import dagster as dg

from feature_repo.rejected import Rejected
from pipelines.assets.data import items, write_rejected
from pipelines.assets.materialized import materialized
from pipelines.home import Facts
from pipelines.workspace import Workspace
from ranking.representation.audio import AudioEncoder
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
        return _embeddings(workspace, quantized(workspace, TextEncoder(adapter=chosen.text_adapter)))
    encoder = PretrainedTextEncoder(
        chosen.text, pooling=chosen.text_pooling, prefix=chosen.text_prefix, adapter=chosen.text_adapter
    )
    return _embeddings(workspace, encoder)


@dg.asset(group_name=GROUP, deps=[items])
def image_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's picture."""
    chosen = workspace.settings.encoders
    if chosen.image is None:
        return _embeddings(workspace, quantized(workspace, ImageEncoder(adapter=chosen.image_adapter)))
    return _embeddings(workspace, PretrainedImageEncoder(chosen.image, adapter=chosen.image_adapter))


@dg.asset(group_name=GROUP, deps=[items])
def audio_embeddings(workspace: dg.ResourceParam[Workspace]) -> dg.MaterializeResult[None]:
    """Each item's sound."""
    name = workspace.settings.encoders.audio
    if name is None:
        return _embeddings(workspace, quantized(workspace, AudioEncoder()))
    return _embeddings(workspace, PretrainedAudioEncoder(name))


def quantized(workspace: Workspace, encoder: NetworkEncoder[Decoded]) -> Encoder[Decoded]:
    """The encoder in int8 where that is true enough and there is enough to encode."""

    def sample(n: int) -> list[Decoded]:
        if len(workspace.items) < WORTH_QUANTIZING:
            return []
        return examples(
            workspace.items, encoder, embedding_store(workspace), media_root=workspace.dataset.media_root, n=n
        )

    settings = workspace.settings
    return faster(encoder, sample, settings.quantized, least_cosine=settings.encoders.least_cosine)


def embedding_store(workspace: Workspace) -> EmbeddingStore:
    """All vectors that a home's encoders have made."""
    return EmbeddingStore(workspace.settings.lake / "embeddings")


def _embeddings(workspace: Workspace, encoder: Encoder[Decoded]) -> dg.MaterializeResult[None]:
    name = f"{encoder.modality}_embeddings"

    def make(folder: Path) -> Facts:
        rejected = Rejected()
        run = embed(
            workspace.items,
            encoder,
            embedding_store(workspace),
            media_root=workspace.dataset.media_root,
            rejected=rejected,
            progress=workspace.progress(name),
        )
        workspace.home.write(folder, run.table)
        counts: Facts = {"encoded": run.encoded, "reused_vectors": run.reused, "missing": run.missing}
        return counts | {"rejected": write_rejected(folder, rejected)}

    config = {"encoder": encoder.id}
    return materialized(workspace.build(name, make, inputs=["items"], config=config))
