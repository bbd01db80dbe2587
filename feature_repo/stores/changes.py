"""What was written since a snapshot: which keys, by which transaction, and their rows once they were read.

A row that was read in one transaction still stands in a later one that knows of no write of its key between the two. So
a changed row is read from the LMDB file once, and not again by every reader until it changes again.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from feature_repo.stores import packed_kernels
from feature_repo.stores.packed_kernels import ABSENT, Places
from feature_repo.stores.packed_keys import EntityKeys, SomeKeys
from feature_repo.stores.packed_layout import Layout
from feature_repo.stores.texts import Hashes

if TYPE_CHECKING:
    import lmdb

_UNREAD: Final = (-1, b"")  # in which transaction, and the row


@dataclass(frozen=True)
class Changes:
    """Keys that were written.

    hashes: uint64 [c], of the keys, distinct and ascending. last: int64 [c], the last transaction that wrote each.
    """

    hashes: Hashes
    last: Places

    def then(self, written: Iterable[tuple[int, Hashes]]) -> "Changes":
        """With what later transactions wrote, in their order."""
        later = [*written]
        if not later:
            return self
        hashes = np.concatenate([self.hashes, *(some for _, some in later)])
        last = np.concatenate([self.last, *(np.full(len(some), number) for number, some in later)])
        order = np.argsort(hashes, kind="stable")  # of equal hashes the last transaction's comes last
        hashes, last = hashes[order], last[order]
        kept = np.append(hashes[1:] != hashes[:-1], True)
        return Changes(hashes[kept], last[kept])

    def among(self, hashes: Hashes) -> tuple[Places, Places]:
        """Places of those hashes that are among these, and the last transaction that wrote each."""
        if not len(self.hashes):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        found = packed_kernels.among(hashes, self.hashes, self._ranges)
        places = np.flatnonzero(found != ABSENT)
        return places, self.last.take(found.take(places))

    @cached_property
    def _ranges(self) -> npt.NDArray[np.int32]:
        return np.asarray(packed_kernels.ranges(self.hashes))


NO_CHANGES: Final = Changes(np.empty(0, np.uint64), np.empty(0, np.int64))


class NewerRows:
    """Rows of changed keys, by their places in the snapshot; of keys that it does not hold nothing is kept.

    A deleted row is kept until its key is read again or the snapshot ends, as it does when the file is written anew.

    All threads share them: each row is kept with the transaction in which it was read, as one value.
    """

    def __init__(self) -> None:
        self._kept: dict[int, tuple[int, bytes]] = {}

    def read(
        self,
        transaction: "lmdb.Transaction[bytes]",
        layout: Layout,
        keys: EntityKeys | SomeKeys,
        changed: Places,
        places: Places,
        written: Places,
    ) -> list[bytes]:
        """Rows of changed keys as they stand in a transaction.

        changed: places among the keys. places: theirs in the snapshot. written: the last transaction that wrote each,
        of those up to this one at least.
        """
        now, kept = transaction.id(), self._kept.get
        nothing, spots = layout.nothing, places.tolist()
        rows, unread = [nothing] * len(changed), list[int]()
        for number, (spot, last) in enumerate(zip(spots, written.tolist(), strict=True)):
            read_in, row = kept(spot, _UNREAD)
            if last <= read_in <= now:
                rows[number] = row
            else:
                unread.append(number)
        if unread:
            for number, key in zip(unread, keys.under(layout.digest, changed[unread]), strict=True):
                rows[number] = row = transaction.get(key, nothing)
                if spots[number] != ABSENT:
                    self._kept[spots[number]] = now, row
        return rows
