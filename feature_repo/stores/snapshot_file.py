"""A snapshot of a view's rows in a file of its own, mapped into memory by every process that reads it.

    head | hashes, slots | where keys end, keys | rows | where tails end, tails

`hashes` are those of the keys, ascending; each one's slot holds the place of its row and the beginning of its key, so
that a short id costs one look into memory. Everything begins at a multiple of eight bytes. A file is written once,
under a name that no other has, and never changed.
"""

import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.durable import replacing
from feature_repo.stores import packed_kernels
from feature_repo.stores.packed_columns import Packed
from feature_repo.stores.packed_kernels import Places
from feature_repo.stores.packed_layout import DIGEST_SIZE, Layout
from feature_repo.stores.texts import Texts

Scan = Callable[[], Iterator[tuple[bytes, bytes]]]  # keys without digest, and rows, each time the same

SUFFIX: Final = ".snapshot"
TOKEN_SIZE: Final = 16
_HEAD: Final = struct.Struct(
    f"<8s{DIGEST_SIZE}s{TOKEN_SIZE}sQQQLL"
)  # + rows, bytes of keys and tails, checksum, padding
_MAGIC: Final = b"trisnap1"
_CHUNK: Final = 20_000  # rows
_WORDS: Final = 2  # of eight bytes that a slot holds of a key
_BEYOND: Final = 16  # zeros behind the keys, beside as many as the longest one has bytes: part of the format
_SLOT: Final = np.dtype([("place", "<u4"), ("length", "<u4"), ("words", "<u8", (_WORDS,))])


class SnapshotError(Exception):
    """A file that is no whole snapshot of what was asked for."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Rows of one view, mapped. Stays valid when its file is removed.

    _keys, _key_ends: bytes of all keys by their places, and where each one begins and ends.
    """

    layout: Layout
    rows: Packed
    _keys: npt.NDArray[np.uint8]
    _key_ends: Places
    _hashes: npt.NDArray[np.uint64]
    _slots: npt.NDArray[np.void]
    _descriptor: int
    _size: int

    def __del__(self) -> None:
        os.close(self._descriptor)

    @property
    def whole(self) -> bool:
        """Whether the file still has its size; reading what was cut off would kill the process."""
        return os.fstat(self._descriptor).st_size == self._size

    def find(self, keys: Texts) -> Places:
        """Places of keys among the rows, `ABSENT` where they are not there."""
        places = packed_kernels.find(
            keys.hashes,
            keys.data,
            keys.starts,
            keys.lengths,
            self._hashes,
            self._ranges,
            self._slots["place"],
            self._slots["length"],
            self._slots["words"],
            self._keys,
            self._key_ends,
        )
        return np.asarray(places)

    @cached_property
    def _ranges(self) -> npt.NDArray[np.int32]:
        return np.asarray(packed_kernels.ranges(self._hashes))


def write(path: Path, layout: Layout, token: bytes, scan: Scan) -> int:
    """Write a snapshot durably; the number of its rows. Memory is that of the keys.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    keys = [key for key, _ in scan()]
    size = layout.dtype.itemsize
    texts = Texts.of(pa.array(keys, pa.binary()))
    order = np.argsort(texts.hashes, kind="stable")
    key_ends = np.append(0, np.cumsum(texts.lengths))
    key_bytes = np.append(texts.data, np.zeros(texts.longest + _BEYOND, np.uint8))
    tail_ends = np.zeros(len(keys) + 1 if layout.segments else 0, np.int64)
    if layout.segments:
        lengths = np.fromiter((len(row) - size for _, row in scan()), np.int64, len(keys))
        np.cumsum(lengths, out=tail_ends[1:])
    tail_bytes = int(tail_ends[-1]) if layout.segments else 0
    with replacing(path) as file:
        file.write(bytes(_HEAD.size))
        out = _Summed(file)
        out.part(texts.hashes[order])
        out.part(_slots(texts, order))
        out.part(key_ends)
        out.part(key_bytes)
        out.parts(_joined(scan, slice(0, size)))
        if layout.segments:
            out.part(tail_ends)
            out.parts(_joined(scan, slice(size, None)))
        file.seek(0)
        head = (_MAGIC, layout.digest, token, len(keys), len(key_bytes), tail_bytes, out.checksum, 0)
        file.write(_HEAD.pack(*head))
    return len(keys)


def read(path: Path, layout: Layout, token: bytes) -> Snapshot:
    """Map a snapshot.

    Raises:
        SnapshotError: the file is damaged or that of other rows.
        OSError: there is no such file.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(descriptor).st_size
        if size <= _HEAD.size:
            raise SnapshotError(f"it has {size} bytes")
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        return _parsed(mapped, layout, token, descriptor)
    except (OSError, SnapshotError):
        os.close(descriptor)
        raise


def _parsed(mapped: mmap.mmap, layout: Layout, token: bytes, descriptor: int) -> Snapshot:
    magic, digest, its_token, n, key_bytes, tail_bytes, checksum, _ = _HEAD.unpack_from(mapped)
    if (magic, digest, its_token) != (_MAGIC, layout.digest, token):
        raise SnapshotError("it is not the snapshot that was asked for")
    sizes = [8 * n, _SLOT.itemsize * n, 8 * (n + 1), key_bytes, layout.dtype.itemsize * n]
    sizes += [8 * (n + 1), tail_bytes] if layout.segments else []
    starts = np.cumsum([_HEAD.size, *(_padded(size) for size in sizes)]).tolist()
    if len(mapped) != starts[-1]:
        raise SnapshotError(f"it has {len(mapped)} of {starts[-1]} bytes")
    if zlib.crc32(memoryview(mapped)[_HEAD.size :]) != checksum:
        raise SnapshotError("its checksum is wrong")
    hashes = np.frombuffer(mapped, np.uint64, n, starts[0])
    slots = np.frombuffer(mapped, _SLOT, n, starts[1])
    key_ends = np.frombuffer(mapped, np.int64, n + 1, starts[2])
    keys = np.frombuffer(mapped, np.uint8, key_bytes, starts[3])
    heads = np.frombuffer(mapped, layout.dtype, n, starts[4])
    ends, tails = np.zeros(n + 1, np.int64), np.zeros(0, np.uint8)
    if layout.segments:
        ends = np.frombuffer(mapped, np.int64, n + 1, starts[5])
        tails = np.frombuffer(mapped, np.uint8, tail_bytes, starts[6])
    return Snapshot(layout, Packed(layout, heads, ends, tails), keys, key_ends, hashes, slots, descriptor, len(mapped))


def _slots(texts: Texts, order: npt.NDArray[np.int64]) -> npt.NDArray[np.void]:
    slots = np.zeros(len(order), _SLOT)
    slots["place"], slots["length"] = order, texts.lengths[order]
    for word in range(_WORDS):
        slots["words"][:, word] = texts.words(word)[order]
    return slots


class _Summed:
    """What follows the head: parts at multiples of eight bytes, and their checksum."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.checksum = file, 0

    def part(self, array: npt.NDArray[np.generic]) -> None:
        """Write an array."""
        self.parts(iter([array.tobytes()]))

    def parts(self, pieces: Iterator[bytes]) -> None:
        """Write pieces that lie one behind the other."""
        written = 0
        for piece in pieces:
            self._write(piece)
            written += len(piece)
        self._write(bytes(_padded(written) - written))

    def _write(self, piece: bytes) -> None:
        self._file.write(piece)
        self.checksum = zlib.crc32(piece, self.checksum)


def _joined(scan: Scan, part: slice) -> Iterator[bytes]:
    """The same part of every row, some thousand rows at a time."""
    rows = scan()
    while chunk := [row[part] for _, row in islice(rows, _CHUNK)]:
        yield b"".join(chunk)


def _padded(size: int) -> int:
    return -(-size // 8) * 8
