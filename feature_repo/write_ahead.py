"""A write-ahead file: Arrow tables in checksummed frames, each there whole or not at all.

    header   magic (8 bytes), generation (uint64)
    frame    bytes of the payload (uint64), CRC-32 of the payload, CRC-32 of the 12 bytes before, payload (Arrow stream)

A writer that dies leaves a prefix of its frame at the end. Such a torn frame was never acknowledged: readers stop
before it and the next writer cuts it off. A frame that is complete and fails its checksum is damage, and an error.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from feature_repo.durable import write_durably
from feature_repo.errors import EventLogError

_MAGIC: Final = b"TRIWAL\x00\x01"
_HEADER: Final = struct.Struct("<8sQ")
_FRAME: Final = struct.Struct("<QI")
_CHECK: Final = struct.Struct("<I")
_FRAME_BYTES: Final = _FRAME.size + _CHECK.size


@dataclass(frozen=True)
class Position:
    """A place between two frames: which generation of the file, and the byte at which the next frame starts."""

    generation: int
    offset: int


@dataclass(frozen=True)
class Unread:
    """Tables of the frames up to `position`: those after the position asked for if `continued`, else all there are."""

    position: Position
    tables: list[pa.Table]
    continued: bool


def start(path: Path, generation: int) -> Position:
    """Put an empty file of that generation in the place of what was there."""
    write_durably(path, _HEADER.pack(_MAGIC, generation))
    return Position(generation, _HEADER.size)


def append(path: Path, end: int, table: pa.Table | None) -> int:
    """Write one frame at `end`, over a torn one if need be, and answer where it ends, once it is on disk.

    Without a table, what stands before `end` is made durable: its writer may have died before it did so.
    """
    with path.open("r+b", buffering=0) as file:
        file.truncate(end)
        file.seek(end)
        rest = memoryview(b"" if table is None else _frame(table))
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(end)  # what may not be on disk must not be taken for a duplicate later
            raise
        return file.tell()


def read(path: Path, after: Position | None) -> Unread:
    """The complete frames after a position, so that a caller that keeps up reads only what is new.

    Raises `EventLogError` for a damaged file, `FileNotFoundError` if there is none.
    """
    with path.open("rb") as file:
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            raise EventLogError(f"{path}: not a write-ahead file of this version; restore it from a backup")
        generation = _HEADER.unpack(header)[1]
        size = os.fstat(file.fileno()).st_size
        continued = after is not None and after.generation == generation and after.offset <= size
        offset = max(after.offset, _HEADER.size) if after is not None and continued else _HEADER.size
        file.seek(offset)
        tables, used = _parse(path, file.read(), offset)
    return Unread(Position(generation, offset + used), tables, continued)


def _frame(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    payload = sink.getvalue()
    head = _FRAME.pack(payload.size, zlib.crc32(payload))
    return b"".join((head, _CHECK.pack(zlib.crc32(head)), payload))


def _parse(path: Path, content: bytes, offset: int) -> tuple[list[pa.Table], int]:
    tables, at = [], 0
    while len(content) - at >= _FRAME_BYTES:
        head = content[at : at + _FRAME.size]
        size, checksum = _FRAME.unpack(head)
        sound = zlib.crc32(head) == _CHECK.unpack_from(content, at + _FRAME.size)[0]
        payload = memoryview(content)[at + _FRAME_BYTES : at + _FRAME_BYTES + size] if sound else memoryview(b"")
        if sound and len(payload) < size:
            break  # torn
        if not sound or zlib.crc32(payload) != checksum:
            raise EventLogError(
                f"{path}: the frame at byte {offset + at} fails its checksum; restore the file from a backup, or cut "
                f"it there (truncate -s {offset + at}) and append what came later again (known ids are skipped)"
            )
        tables.append(pa.ipc.open_stream(payload).read_all())
        at += _FRAME_BYTES + size
    return tables, at
