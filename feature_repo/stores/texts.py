"""Many short texts compared and hashed at once, eight bytes at a time."""

from functools import cached_property
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Hashes: TypeAlias = npt.NDArray[np.uint64]
_WORD: Final = 8
_MASKS: Final = np.array([(1 << 8 * size) - 1 for size in range(_WORD + 1)], np.uint64)  # of a word's first bytes
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
_SHIFT: Final = np.uint64(32)


class Texts:
    """Many short stretches of bytes, compared and hashed eight bytes at a time.

    data: bytes, `padding(longest)` more behind the last stretch. starts, lengths: of the stretches in it.
    """

    def __init__(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        self.data, self.starts, self.lengths = data, starts, lengths
        self._read: dict[int, Hashes] = {}
        self._words = np.ndarray(len(data) - _WORD + 1, "<u8", data, strides=(1,))

    @classmethod
    def of(cls, texts: pa.BinaryArray) -> "Texts":
        """Stretches of an Arrow array without nulls."""
        if not len(texts):
            return cls(np.zeros(_WORD, np.uint8), np.zeros(0, np.int64), np.zeros(0, np.int64))
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
        lengths = ends[1:] - ends[:-1]
        padded = np.zeros(ends[-1] - ends[0] + padding(int(lengths.max())), np.uint8)
        if data is not None:
            padded[: ends[-1] - ends[0]] = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
        return cls(padded, ends[:-1] - ends[0], lengths)

    def words(self, place: int) -> Hashes:
        """The eight bytes of every stretch from `place * 8` on, zero beyond its end."""
        if place not in self._read:
            self._read[place] = self._masked(place)
        return self._read[place]

    def _masked(self, place: int) -> Hashes:
        left = self.lengths - place * _WORD
        words: Hashes = self._words[self.starts + place * _WORD] & _MASKS[np.minimum(np.maximum(left, 0), _WORD)]
        return words

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest stretch."""
        return int(self.lengths.max(initial=0))

    @property
    def words_of_longest(self) -> int:
        """Words that the longest stretch takes."""
        return -(-self.longest // _WORD)

    @cached_property
    def hashes(self) -> Hashes:
        """A hash of every stretch, the same in every process."""
        hashes = self.lengths.astype(np.uint64)
        shortest = int(self.lengths.min(initial=0))
        for place in range(self.words_of_longest):
            mixed = (hashes ^ self.words(place)) * _FACTOR
            mixed ^= mixed >> _SHIFT
            # those that have ended stay, so that a hash does not depend on what else is hashed
            hashes = mixed if place * _WORD < shortest else np.where(self.lengths > place * _WORD, mixed, hashes)
        return hashes

    def same(self, others: "Texts") -> npt.NDArray[np.bool_]:
        """Whether each stretch is equal to the other one at its place."""
        same: npt.NDArray[np.bool_] = self.lengths == others.lengths
        for place in range(min(self.words_of_longest, others.words_of_longest)):
            same &= self.words(place) == others.words(place)
        return same

    def take(self, places: npt.NDArray[np.int64]) -> "Texts":
        """Stretches by their places."""
        return Texts(self.data, self.starts.take(places), self.lengths.take(places))


def padding(longest: int) -> int:
    """Bytes that have to stand behind stretches, of which the longest is of some bytes."""
    return longest + 2 * _WORD
