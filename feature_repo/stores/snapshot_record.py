"""What an LMDB file knows of the snapshots of its views: which one counts, and which keys were written since.

Every transaction that writes rows of a view notes their keys' hashes here, in the same transaction, as long as the view
has a snapshot. So whoever reads the record and the rows in one transaction knows exactly for which keys the snapshot is
older than the file. Too many of them end the snapshot: reading the file is then as fast.

    0 .. 1 digest                 active token, token of the one being written, rows, keys noted
    0 .. 2 digest transaction     hashes of the keys that the transaction wrote
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from feature_repo.stores import prefixes
from feature_repo.stores.packed_layout import DIGEST_SIZE
from feature_repo.stores.snapshot_file import TOKEN_SIZE
from feature_repo.stores.texts import Hashes, Texts

if TYPE_CHECKING:
    import lmdb

_RECORDS: Final = bytes(DIGEST_SIZE - 1) + b"\1"
_WRITTEN: Final = bytes(DIGEST_SIZE - 1) + b"\2"
_NONE: Final = bytes(TOKEN_SIZE)
_RECORD: Final = struct.Struct(f"<{TOKEN_SIZE}s{TOKEN_SIZE}sQQ")
_NUMBER: Final = struct.Struct(">Q")  # of a transaction; big-endian, so that they lie in their order
_FEW: Final = 4096  # keys that may be noted of however small a snapshot
_SHARE: Final = 4  # else a fourth of its rows


@dataclass(frozen=True)
class _Record:
    active: bytes = _NONE
    pending: bytes = _NONE
    rows: int = 0
    noted: int = 0


def active(transaction: "lmdb.Transaction[bytes]", digest: bytes) -> bytes | None:
    """Token of the snapshot that counts, None where there is none."""
    record = transaction.get(_RECORDS + digest)
    return None if record is None or record.startswith(_NONE) else record[:TOKEN_SIZE]


def written(transaction: "lmdb.Transaction[bytes]", digest: bytes, since: int) -> Iterator[tuple[int, Hashes]]:
    """Transactions after one, in their order, and the hashes of the keys that each wrote."""
    prefix = _WRITTEN + digest
    for key, hashes in prefixes.entries(transaction, prefix, start=prefix + _NUMBER.pack(since + 1)):
        yield _transaction(key), np.frombuffer(hashes, np.uint64)


def note(transaction: "lmdb.Transaction[bytes]", digest: bytes, keys: Texts) -> None:
    """Note the keys that a transaction writes or deletes; once a transaction and digest."""
    record = _get(transaction, digest)
    if record is None or not len(keys.lengths):
        return
    noted = record.noted + len(keys.lengths)
    if noted > max(_FEW, record.rows // _SHARE):
        drop(transaction, digest)
        return
    _put(transaction, digest, replace(record, noted=noted))
    transaction.put(_WRITTEN + digest + _NUMBER.pack(transaction.id()), keys.hashes.tobytes())


def prepare(transaction: "lmdb.Transaction[bytes]", digest: bytes, token: bytes) -> None:
    """Have keys noted from this transaction on, for a snapshot that is about to be written."""
    record = _get(transaction, digest) or _Record()
    if record.active == _NONE:
        drop(transaction, digest)
        record = _Record()
    _put(transaction, digest, replace(record, pending=token))


def commit(transaction: "lmdb.Transaction[bytes]", digest: bytes, token: bytes, *, read_at: int, rows: int) -> bool:
    """Let a snapshot of what a transaction saw count; False where too much, or another snapshot, came between."""
    record = _get(transaction, digest)
    if record is None or record.pending != token:
        return False
    for key in [key for key, _ in prefixes.entries(transaction, _WRITTEN + digest) if _transaction(key) <= read_at]:
        transaction.delete(key)
    noted = sum(len(hashes) for _, hashes in written(transaction, digest, read_at))
    _put(transaction, digest, _Record(active=token, rows=rows, noted=noted))
    return True


def drop(transaction: "lmdb.Transaction[bytes]", digest: bytes) -> None:
    """End a view's snapshot."""
    if transaction.delete(_RECORDS + digest):
        prefixes.delete(transaction, _WRITTEN + digest)


def holds(key: bytes) -> bool:
    """Whether an entry of the file is of snapshots, not a row: its transactions are those of this very file."""
    return key.startswith((_RECORDS, _WRITTEN))


def tokens(transaction: "lmdb.Transaction[bytes]") -> set[bytes]:
    """Tokens of all snapshots that count or are being written."""
    records = [_Record(*_RECORD.unpack(value)) for _, value in prefixes.entries(transaction, _RECORDS)]
    return {token for record in records for token in (record.active, record.pending)}


def _get(transaction: "lmdb.Transaction[bytes]", digest: bytes) -> _Record | None:
    record = transaction.get(_RECORDS + digest)
    return None if record is None else _Record(*_RECORD.unpack(record))


def _put(transaction: "lmdb.Transaction[bytes]", digest: bytes, record: _Record) -> None:
    transaction.put(_RECORDS + digest, _RECORD.pack(record.active, record.pending, record.rows, record.noted))


def _transaction(key: bytes) -> int:
    (number,) = _NUMBER.unpack(key[-_NUMBER.size :])
    return int(number)
