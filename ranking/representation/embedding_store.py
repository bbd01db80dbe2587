"""Vectors that were computed once and are kept: Parquet parts that are only ever added.

    <folder>/<modality>/<encoder id>/part-*.parquet   item_id, modality, encoder_id, content_hash, vector

A part appears under its name only when it is whole, so a process that is killed loses at most what it had not flushed.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.schema import ITEM_ID, Modality
from ranking.errors import ArtifactError
from ranking.types import Floats

MODALITY: Final = "modality"
ENCODER_ID: Final = "encoder_id"
CONTENT_HASH: Final = "content_hash"
VECTOR: Final = "vector"


def embedding_schema(dim: int) -> pa.Schema:
    """One row an item: what was encoded (`content_hash`), by what (`encoder_id`), and the vector float32 [dim]."""
    return pa.schema(
        [
            pa.field(ITEM_ID, pa.string(), nullable=False),
            pa.field(MODALITY, pa.string(), nullable=False),
            pa.field(ENCODER_ID, pa.string(), nullable=False),
            pa.field(CONTENT_HASH, pa.string(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), dim), nullable=False),
        ]
    )


def embedding_table(
    item_ids: Sequence[str], hashes: Sequence[str], vectors: Floats, *, modality: Modality, encoder_id: str
) -> pa.Table:
    """A table of `embedding_schema`; vectors: float32 [n, dim]."""
    n, dim = vectors.shape
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).reshape(-1))
    columns = [
        pa.array(item_ids, pa.string()),
        pa.repeat(pa.scalar(str(modality)), n),
        pa.repeat(pa.scalar(encoder_id), n),
        pa.array(hashes, pa.string()),
        pa.FixedSizeListArray.from_arrays(flat, dim),
    ]
    return pa.Table.from_arrays(columns, schema=embedding_schema(dim))


def vectors_of(embeddings: pa.Table) -> Floats:
    """The `vector` column as float32 [n, dim]."""
    column = embeddings[VECTOR]
    flat = [chunk.flatten().to_numpy() for chunk in column.chunks]
    return np.concatenate([np.empty(0, np.float32), *flat]).reshape(len(column), column.type.list_size)


@dataclass(frozen=True)
class EmbeddingStore:
    """The store in a folder, which is made at the first write; one process at a time may write one modality."""

    folder: Path

    def read(self, modality: Modality, encoder_id: str, dim: int) -> pa.Table:
        """Everything that one encoder has computed: `embedding_schema`, one row a content, in no particular order.

        Raises `ArtifactError` for a damaged part.
        """
        schema = embedding_schema(dim)
        parts = sorted(self._folder_of(modality, encoder_id).glob("part-*.parquet"))
        return pa.concat_tables([schema.empty_table(), *(read_whole(part, schema) for part in parts)])

    def append(self, embeddings: pa.Table, modality: Modality, encoder_id: str) -> None:
        """Add the rows of a table of `embedding_schema` as one more part."""
        write_whole(embeddings, self._folder_of(modality, encoder_id) / f"part-{uuid4().hex}.parquet")

    def _folder_of(self, modality: Modality, encoder_id: str) -> Path:
        return self.folder / modality / encoder_id


def read_whole(path: Path, schema: pa.Schema) -> pa.Table:
    """A Parquet file of that schema; raises `ArtifactError` if it is anything else."""
    try:
        return pq.ParquetFile(path).read().cast(schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable ({error}); delete it, what it held is computed again") from error


def write_whole(table: pa.Table, path: Path) -> None:
    """Write under another name and rename, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    pq.write_table(table, unfinished)
    os.replace(unfinished, path)  # noqa: PTH105  replaces atomically
