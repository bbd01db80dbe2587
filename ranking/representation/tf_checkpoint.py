"""Reader of TensorFlow's checkpoint format V2 ("tensor bundle"), so that TensorFlow need not be installed.

A bundle is an index, which is a LevelDB table (blocks of prefix-compressed keys) of protocol buffer messages, and one
data file that those messages point into. Read here: one shard, uncompressed blocks, dense numbers. Formats:
tensorflow/core/protobuf/tensor_bundle.proto and LevelDB's doc/table_format.md.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.errors import EncoderError

FOOTER: Final = 48  # bytes at the end of a table: two block handles, padding, magic number
MAGIC: Final = 0xDB4775248B80FB57
DTYPES: Final[dict[int, type[np.generic]]] = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64}

Tensors: TypeAlias = dict[str, npt.NDArray[np.generic]]
Fields: TypeAlias = dict[int, list[int | bytes]]


def read_checkpoint(folder: Path, name: str = "") -> Tensors:
    """Every tensor of the checkpoint whose files are `<name>.index` and `<name>.data-00000-of-00001`, by its name.

    Raises `EncoderError` for files that are missing, damaged or of another kind.
    """
    try:
        index = (folder / f"{name}.index").read_bytes()
        data = (folder / f"{name}.data-00000-of-00001").read_bytes()
        return {key.decode(): _tensor(_message(entry), data) for key, entry in _table(index) if key}
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise EncoderError(f"{folder}: not a readable TensorFlow checkpoint ({error}); install it again") from error


def _table(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a LevelDB table; its header has the empty key."""
    footer = table[-FOOTER:]
    if struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("its index does not end in LevelDB's magic number")
    _, at = _handle(footer, 0)  # of the meta index, which is not needed
    (offset, size), _ = _handle(footer, at)
    for _, block_handle in _block(table, offset, size):
        (offset, size), _ = _handle(block_handle, 0)
        yield from _block(table, offset, size)


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Entries of a block: bytes shared with the key before, bytes of its own, length of the value; key; value."""
    if table[offset + size] != 0:
        raise ValueError("its index is compressed; accepted: plain")
    block = table[offset : offset + size]
    (restarts,) = struct.unpack("<I", block[-4:])
    at, end, key = 0, len(block) - 4 - 4 * restarts, b""
    while at < end:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        yield key, block[at + own : at + own + length]
        at += own + length


def _tensor(entry: Fields, data: bytes) -> npt.NDArray[np.generic]:
    """The tensor of a BundleEntryProto: dtype = 1, shape = 2, offset = 4, size = 5."""
    dtype = DTYPES[_number(entry, 1)]
    dims = _message(_bytes(entry, 2)).get(2, [])
    shape = [_number(_message(dim), 1) for dim in dims if isinstance(dim, bytes)]
    offset, size = _number(entry, 4), _number(entry, 5)
    return np.frombuffer(data[offset : offset + size], dtype).reshape(shape)


def _message(buffer: bytes) -> Fields:
    """Fields of a protocol buffer message by number, each with all its occurrences."""
    fields: Fields = {}
    at = 0
    while at < len(buffer):
        tag, at = _varint(buffer, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = _varint(buffer, at)
            case 1:
                value, at = buffer[at : at + 8], at + 8
            case 2:
                length, at = _varint(buffer, at)
                value, at = buffer[at : at + length], at + length
            case 5:
                value, at = buffer[at : at + 4], at + 4
            case wire_type:
                raise ValueError(f"protocol buffer wire type {wire_type}; accepted: 0, 1, 2, 5")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _number(fields: Fields, number: int) -> int:
    value = fields.get(number, [0])[0]  # protocol buffers leave out zeros
    if isinstance(value, bytes):
        raise ValueError(f"field {number} is no number")
    return value


def _bytes(fields: Fields, number: int) -> bytes:
    value = fields.get(number, [b""])[0]
    if isinstance(value, int):
        raise ValueError(f"field {number} is no message")
    return value


def _handle(buffer: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Offset and size of a block, and where the handle ends."""
    offset, at = _varint(buffer, at)
    size, at = _varint(buffer, at)
    return (offset, size), at


def _varint(buffer: bytes, at: int) -> tuple[int, int]:
    """A number in groups of seven bits, low ones first, and where it ends."""
    value = shift = 0
    while True:
        byte = buffer[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
