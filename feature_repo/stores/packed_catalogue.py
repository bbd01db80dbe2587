"""Which layouts an LMDB file has rows in, by view: a changed view's former rows go when the present ones are there.

0 project 0 view    digests of the layouts, the present one last
"""

from typing import TYPE_CHECKING, Final

from feature_repo.stores import prefixes, snapshot_record
from feature_repo.stores.packed_layout import DIGEST_SIZE, Layout

if TYPE_CHECKING:
    import lmdb

_LAYOUTS: Final = bytes(DIGEST_SIZE)


def supersede(transaction: "lmdb.Transaction[bytes]", layout: Layout) -> None:
    """Note a view's layout, and delete the rows of its former ones if it has rows already."""
    former = set(layouts(transaction, layout.project, layout.view)) - {layout.digest}
    if former and any(prefixes.entries(transaction, layout.digest)):
        for digest in former:
            _delete_rows(transaction, digest)
        former = set()
    transaction.put(_catalogue_key(layout.project, layout.view), b"".join([*sorted(former), layout.digest]))


def layouts(transaction: "lmdb.Transaction[bytes]", project: str, view: str) -> list[bytes]:
    """Digests of the layouts that a view may have rows in."""
    noted = transaction.get(_catalogue_key(project, view), b"")
    return [noted[place : place + DIGEST_SIZE] for place in range(0, len(noted), DIGEST_SIZE)]


def forget(transaction: "lmdb.Transaction[bytes]", project: str, view: str) -> None:
    """Delete all rows of a view."""
    for digest in layouts(transaction, project, view):
        _delete_rows(transaction, digest)
    transaction.delete(_catalogue_key(project, view))


def _delete_rows(transaction: "lmdb.Transaction[bytes]", digest: bytes) -> None:
    snapshot_record.drop(transaction, digest)
    prefixes.delete(transaction, digest)


def _catalogue_key(project: str, view: str) -> bytes:
    return _LAYOUTS + f"{project}\0{view}".encode()
