"""All entries of an LMDB file whose keys begin alike."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import lmdb


def entries(
    transaction: "lmdb.Transaction[bytes]", prefix: bytes, *, start: bytes | None = None
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in the order of the keys; start: from which key on."""
    cursor = transaction.cursor()
    found = cursor.set_range(prefix if start is None else start)
    while found and cursor.key().startswith(prefix):
        yield cursor.key(), cursor.value()
        found = cursor.next()


def delete(transaction: "lmdb.Transaction[bytes]", prefix: bytes) -> None:
    """Delete them."""
    cursor = transaction.cursor()
    found = cursor.set_range(prefix)
    while found and cursor.key().startswith(prefix):
        found = cursor.delete() and bool(cursor.key())
