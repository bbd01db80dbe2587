"""Which row of a view counts for each entity row, found while the view's rows pass by once, in any order.

An ASOF join sorts both sides, and has to be told before which rows never count. Here the entity rows alone are sorted
and held. A row of the view belongs to the first entity row of its key that may see it; of those that belong to one
entity row the latest is kept; and an entity row sees what the earlier ones of its key saw.
"""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.int64]

NONE: Final = -1  # the number of no row
LEAST: Final = np.iinfo(np.int64).min  # before every moment; also that of a row whose moment of writing is unknown


class LatestRows:
    """Entity rows in the order of their keys and moments; moments are microseconds.

    key: (n,) numbers from 0 on, ascending; n_keys is more than all. moment: (n,), ascending within a key.
    """

    def __init__(self, key: Ints, moment: Ints, n_keys: int) -> None:
        self._key = key
        self._moment = np.append(moment, np.iinfo(np.int64).max)  # a search may end behind the last row
        self._first = np.searchsorted(key, np.arange(n_keys + 1))
        # of the rows that belong to each entity row: event, created and number of the latest
        self._latest = tuple(np.full(len(key), least, np.int64) for least in (LEAST, LEAST, NONE))

    def see(self, key: Ints, visible: Ints, event: Ints, created: Ints, number: Ints) -> None:
        """Take up (m,) rows of the view. visible: the moment from which a row can be seen.

        The latest is that of the greatest event, then created, then number.
        """
        place, end = self._belonging(key, visible), self._first[key + 1]
        left = np.flatnonzero(place < end)
        place = place[left]
        for level, values in enumerate((event, created, number)):
            latest, value = self._latest[level], values[left]
            before = latest[place]
            np.maximum.at(latest, place, value)
            now = latest[place]
            for lower, least in zip(self._latest[level + 1 :], (LEAST, NONE)[level:], strict=True):
                lower[place[now > before]] = least
            kept = value == now
            left, place = left[kept], place[kept]

    def numbers(self, ttl: int) -> Ints:
        """(n,) number of the row that counts, `NONE` where there is none or it is older than ttl (0: of any age)."""
        event, _, number = self._latest
        filled = np.flatnonzero(number != NONE)
        counts = np.full(len(number), NONE, np.int64)
        if not len(filled):
            return counts
        # of equal events the one that is seen later was also created later
        by_event = np.argsort(event[filled], kind="stable")
        rank = np.zeros(len(number), np.int64)  # among all filled ones, from 1 on; greatest up to each row of a key:
        rank[filled[by_event]] = np.arange(1, len(filled) + 1)
        base = self._key * (len(filled) + 1)
        greatest = np.maximum.accumulate(base + rank) - base
        seen = greatest > 0
        source = filled[by_event[greatest[seen] - 1]]
        fresh = self._moment[:-1][seen] - event[source] <= ttl if ttl else True
        counts[seen] = np.where(fresh, number[source], NONE)
        return counts

    def _belonging(self, key: Ints, visible: Ints) -> Ints:
        """Place of the first entity row of the key at or after `visible`; the key's end if there is none.

        A binary search of all rows at once, in as many rounds as the largest key needs.
        """
        low = self._first[key]
        length = self._first[key + 1] - low
        while length.any():
            half = length >> 1
            earlier = (self._moment[low + half] < visible) & (length > 0)
            low += (half + 1) * earlier
            length = np.where(earlier, length - half - 1, half)
        return low
