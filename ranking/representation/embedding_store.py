"""Vectors that were computed once and are kept: Parquet parts that are only ever added.

    <folder>/<modality>/<encoder id>/part-*.parquet   item_id, modality, encoder_id, content_hash, vector

A part appears under its name only when it is whole, so a process that is killed loses at most what it had not flushed.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
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

    def hashes(self, modality: Modality, encoder_id: str) -> set[str]:
        """The contents that one encoder has vectors of; raises `ArtifactError` for a damaged part."""
        parts = self._parts(modality, encoder_id)
        return {one for part in parts for one in read_whole(part, _HASHES)[CONTENT_HASH].to_pylist()}

    def vectors(self, modality: Modality, encoder_id: str, dim: int, hashes: Sequence[str]) -> Floats:
        """The vectors of contents that `hashes` of this store names, float32 [len(hashes), dim], in the order given.

        Parts are read one by one, so that a large store is never in memory twice.
        """
        rows_of: dict[str, list[int]] = {}
        for row, one in enumerate(hashes):
            rows_of.setdefault(one, []).append(row)
        vectors = np.empty((len(hashes), dim), np.float32)
        wanted = pa.schema([embedding_schema(dim).field(name) for name in (CONTENT_HASH, VECTOR)])
        for part in self._parts(modality, encoder_id):
            table = read_whole(part, wanted)
            found = vectors_of(table)
            for place, one in enumerate(table[CONTENT_HASH].to_pylist()):
                vectors[rows_of.get(one, [])] = found[place]
        return vectors

    def sweep(self, modality: Modality, encoder_id: str) -> None:
        """Delete what killed processes left half written."""
        for torn in self._folder_of(modality, encoder_id).glob(".part-*.unfinished"):
            torn.unlink(missing_ok=True)

    def append(self, embeddings: pa.Table, modality: Modality, encoder_id: str) -> None:
        """Add the rows of a table of `embedding_schema` as one more part."""
        write_whole(embeddings, self._folder_of(modality, encoder_id) / f"part-{uuid4().hex}.parquet")

    def _parts(self, modality: Modality, encoder_id: str) -> list[Path]:
        return sorted(self._folder_of(modality, encoder_id).glob("part-*.parquet"))

    def _folder_of(self, modality: Modality, encoder_id: str) -> Path:
        return self.folder / modality / encoder_id


_HASHES: Final = pa.schema([embedding_schema(1).field(CONTENT_HASH)])


def read_whole(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of a schema from a Parquet file; raises `ArtifactError` if they cannot be read."""
    try:
        return pq.ParquetFile(path).read(columns=schema.names).cast(schema)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactError(f"{path}: not readable ({error}); delete it, what it held is computed again") from error


def write_whole(table: pa.Table, path: Path) -> None:
    """Write under another name and rename, so that a reader never sees half a file; `ArtifactError` if it cannot be."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, unfinished, use_dictionary=False)  # of numbers that are all different: 1.5 times the size
        os.replace(unfinished, path)  # noqa: PTH105  replaces atomically
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise ArtifactError(
            f"{path}: cannot be written ({error}); what was there before stays: make room and run again, it goes on"
        ) from error
