"""One vector an item and modality, also of items that have a video in place of a picture or a sound."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.rejected import Rejected
from ranking.representation.embed import EmbeddingRun, Progress, embed
from ranking.representation.embedding_store import EmbeddingStore
from ranking.representation.encoder import Decoded, Encoder
from ranking.representation.video_encoder import video_encoder
from ranking.types import IdIndex


def embed_items(
    items: pa.Table,
    encoder: Encoder[Decoded],
    store: EmbeddingStore,
    *,
    media_root: Path,
    rejected: Rejected,
    progress: Progress = lambda done, total: None,
) -> EmbeddingRun:
    """As `embed`; an item that names no picture (no sound) has the vector of its video's frames (sound track).

    A picture or sound of its own goes before: somebody chose it to stand for the item, and frames beside it would move
    it away from items that are known by their picture alone.
    """
    own = embed(items, encoder, store, media_root=media_root, rejected=rejected, progress=progress)
    of_videos = video_encoder(encoder)
    if of_videos is None or items[schema.VIDEO].null_count == len(items):
        return own
    videos = embed(items, of_videos, store, media_root=media_root, rejected=rejected, progress=progress)
    table = pa.concat_tables([own.table, videos.table])
    place_of = IdIndex(tuple(items[schema.ITEM_ID].to_pylist()))
    return EmbeddingRun(
        table.take(np.argsort(place_of.codes(table[schema.ITEM_ID].to_pylist()))),
        encoded=own.encoded + videos.encoded,
        reused=own.reused + videos.reused,
        missing=len(items) - len(table),
    )
