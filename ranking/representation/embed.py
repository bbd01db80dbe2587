"""From an items table to one vector an item: the known reused, the new encoded, the bad reported."""

import math
import os
from collections import defaultdict, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import pyarrow as pa

from feature_repo.rejected import Rejected
from feature_repo.schema import Modality
from ranking.errors import UnreadableContentError
from ranking.representation import sources
from ranking.representation.embedding_store import CONTENT_HASH, EmbeddingStore, embedding_table
from ranking.representation.encoder import Decoded, Encoder
from ranking.representation.sources import Content, Reject
from ranking.representation.video_encoder import VideoEncoder
from ranking.types import Floats

CHUNK: Final = 128  # contents a flush: what a killed process encodes again at most, for each core

Progress: TypeAlias = Callable[[int, int], None]  # contents done, contents to do


@dataclass(frozen=True)
class EmbeddingRun:
    """What one run gave.

    table: `embedding_schema`, one row for each item that has a vector, in the items' order. encoded: contents that
    went through the encoder. reused: items whose vector was there. missing: items without a vector, be it that they
    have no such content or that it was rejected.
    """

    table: pa.Table
    encoded: int
    reused: int
    missing: int


def embed(
    items: pa.Table,
    encoder: Encoder[Decoded],
    store: EmbeddingStore,
    *,
    media_root: Path,
    rejected: Rejected,
    progress: Progress = lambda done, total: None,
) -> EmbeddingRun:
    """Vectors of the items' content in the encoder's modality.

    Content that the store knows by its hash is never encoded again, whichever item it belongs to. New vectors are
    flushed every `CHUNK` contents. Content that is missing, too large or cannot be decoded is counted in `rejected`
    (table "items") for each of its items, which then have no vector; the next run tries it again.

    Raises `ArtifactError` where vectors cannot be written, as on a full disk; what was flushed before stays.
    """

    def reject(item_id: str, error: UnreadableContentError) -> None:
        rejected.add("items", error.reason, row=item_id, detail=str(error))

    store.sweep(encoder.modality, encoder.id)
    contents = contents_of(items, encoder, store, media_root=media_root, reject=reject)
    known = store.hashes(encoder.modality, encoder.id)
    new: dict[str, list[Content]] = defaultdict(list)
    for content in contents:
        if content.content_hash not in known:
            new[content.content_hash].append(content)
    encoded = 0
    for hashes in _encode(list(new.values()), encoder, store, reject, progress):
        known.update(hashes)
        encoded += len(hashes)
    return _run(items, [content for content in contents if content.content_hash in known], encoder, store, encoded)


def examples(
    items: pa.Table, encoder: Encoder[Decoded], store: EmbeddingStore, *, media_root: Path, n: int
) -> list[Decoded]:
    """Up to `n` contents spread evenly over the items; what is missing or cannot be decoded is left out."""
    contents = contents_of(items, encoder, store, media_root=media_root)
    decoded = []
    for place in np.linspace(0, len(contents) - 1, min(n, len(contents))).astype(int):
        with suppress(UnreadableContentError):
            decoded.append(encoder.decode(contents[place].load()))
    return decoded


def contents_of(
    items: pa.Table,
    encoder: Encoder[Decoded],
    store: EmbeddingStore,
    *,
    media_root: Path,
    reject: Reject = lambda item_id, error: None,
) -> list[Content]:
    """What the encoder has to encode, in the items' order; which files are missing or too large `reject` is told."""
    if encoder.modality is Modality.TEXT:
        return list(sources.texts(items))
    hashes = store.folder / encoder.modality / "file_hashes.parquet"
    find = partial(sources.videos, taken=encoder.taken) if isinstance(encoder, VideoEncoder) else sources.files
    return list(find(items, encoder.modality, media_root=media_root, hashes=hashes, reject=reject))


def _encode(
    new: list[list[Content]], encoder: Encoder[Decoded], store: EmbeddingStore, reject: Reject, progress: Progress
) -> Iterator[list[str]]:
    """Encode and store one of each list of items with the same content; gives the hashes that were stored.

    Each worker reads, decodes and encodes chunks of its own on one thread: that keeps all cores busy without waiting
    for each other (pictures 9.5 ms, sounds 20 ms; one worker on both cores 11 and 24 ms, on two cores).
    """
    workers = os.cpu_count() or 1
    size = max(min(CHUNK, math.ceil(len(new) / workers)), 1)  # of few contents each worker gets its share
    chunks = [new[start : start + size] for start in range(0, len(new), size)]
    done = 0
    with (
        ThreadPoolExecutor(workers, initializer=_compute_alone if encoder.in_torch else None) as pool,
        closing(_ahead(pool, partial(_encode_chunk, encoder), chunks, 2 * workers)) as finished,
    ):
        for chunk, encoded in finished:
            for same, error in encoded.refused:
                for content in same:
                    reject(content.item_id, error)
            if encoded.contents:
                part = _table(encoded.contents, encoded.vectors, encoder)
                store.append(part, encoder.modality, encoder.id)
                yield part[CONTENT_HASH].to_pylist()
            done += len(chunk)
            progress(done, len(new))


Chunk: TypeAlias = list[list[Content]]


@dataclass(frozen=True)
class _Encoded:
    """What became of a chunk: contents with their vectors, and lists of the same content with what is wrong."""

    contents: list[Content]
    vectors: Floats
    refused: list[tuple[list[Content], UnreadableContentError]]


def _ahead(
    pool: ThreadPoolExecutor, work: Callable[[Chunk], _Encoded], chunks: list[Chunk], most: int
) -> Generator[tuple[Chunk, _Encoded]]:
    """Each chunk with what became of it, in order; at most so many are begun before the first is taken.

    When nobody takes any more, as after a full disk or Ctrl-C, those that wait for a worker are not begun.
    """
    begun: deque[tuple[Chunk, Future[_Encoded]]] = deque()
    try:
        for chunk in chunks:
            begun.append((chunk, pool.submit(work, chunk)))
            if len(begun) == most:
                first, future = begun.popleft()
                yield first, future.result()
        for first, future in begun:
            yield first, future.result()
    finally:
        for _, future in begun:
            future.cancel()


def _encode_chunk(encoder: Encoder[Decoded], chunk: Chunk) -> _Encoded:
    contents: list[Content] = []
    vectors: list[Floats] = [np.empty((0, encoder.dim), np.float32)]
    refused: list[tuple[list[Content], UnreadableContentError]] = []
    for start in range(0, len(chunk), encoder.held):
        decoded = []
        for same in chunk[start : start + encoder.held]:
            try:
                decoded.append(encoder.decode(same[0].load()))
            except UnreadableContentError as error:
                refused.append((same, error))
            else:
                contents.append(same[0])
        if decoded:
            vectors.append(encoder.encode(decoded))
    return _Encoded(contents, np.concatenate(vectors), refused)


def _compute_alone() -> None:
    """Let torch use the calling thread alone."""
    import torch  # heavy: commands that encode nothing must start fast

    torch.set_num_threads(1)


def _run(
    items: pa.Table, present: list[Content], encoder: Encoder[Decoded], store: EmbeddingStore, encoded: int
) -> EmbeddingRun:
    hashes = [content.content_hash for content in present]
    table = _table(present, store.vectors(encoder.modality, encoder.id, encoder.dim, hashes), encoder)
    return EmbeddingRun(table, encoded=encoded, reused=len(table) - encoded, missing=len(items) - len(table))


def _table(contents: list[Content], vectors: Floats, encoder: Encoder[Decoded]) -> pa.Table:
    return embedding_table(
        [content.item_id for content in contents],
        [content.content_hash for content in contents],
        vectors,
        modality=encoder.modality,
        encoder_id=encoder.id,
    )
