"""Vectors that a dataset brings: of an encoder that is not here, so that nothing else can be encoded beside them."""

from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo.schema import ITEM_ID, Modality
from ranking.representation.embedding_store import embedding_table, vectors_of
from ranking.representation.sources import content_hash

PREFIX: Final = "precomputed:"


def precomputed_table(given: pa.Table, modality: Modality) -> pa.Table:
    """Given vectors (item_id, vector: a list of one size) as `embedding_schema`, in the same order.

    Their encoder id is `PREFIX` and a fingerprint of all of them: vectors of other ids are of another encoder.
    """
    ids, vectors = given[ITEM_ID].to_pylist(), np.ascontiguousarray(vectors_of(given), "<f4")
    fingerprint = content_hash("\n".join([*ids, ""]).encode() + vectors.tobytes())[:12]
    hashes = [content_hash(row.tobytes()) for row in vectors]
    return embedding_table(ids, hashes, vectors, modality=modality, encoder_id=f"{PREFIX}{fingerprint}")


def is_precomputed(encoder_id: str | None) -> bool:
    """Whether vectors came with the dataset, by the id of their encoder."""
    return encoder_id is not None and encoder_id.startswith(PREFIX)
