"""Many short texts, found and told apart by their bytes."""

from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.stores import packed_kernels

Hashes: TypeAlias = npt.NDArray[np.uint64]


class Texts:
    """Many short stretches of bytes.

    data: uint8, the bytes. starts, lengths: int64 [n], of the stretches in it.
    """

    def __init__(
        self, data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
    ) -> None:
        self.data, self.starts, self.lengths = data, starts, lengths

    @classmethod
    def of(cls, texts: pa.BinaryArray) -> "Texts":
        """Stretches of an Arrow array without nulls, one behind the other from the first byte on."""
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets or bytes(4), np.int32)[texts.offset :][: len(texts) + 1].astype(np.int64)
        whole = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
        whole.flags.writeable = False  # whosever they are: loops are compiled for them once
        return cls(whole, ends[:-1] - ends[0], ends[1:] - ends[:-1])

    @property
    def longest(self) -> int:
        """Bytes of the longest stretch."""
        return int(self.lengths.max(initial=0))

    def words(self, place: int) -> Hashes:
        """The eight bytes of every stretch from `place * 8` on as a number, zero beyond its end, uint64 [n]."""
        return np.asarray(packed_kernels.words(self.data, self.starts, self.lengths, place))

    @cached_property
    def hashes(self) -> Hashes:
        """A hash of every stretch, the same in every process, uint64 [n]."""
        return np.asarray(packed_kernels.hashes(self.data, self.starts, self.lengths))

    def take(self, places: npt.NDArray[np.int64]) -> "Texts":
        """Stretches by their places."""
        some = Texts(self.data, self.starts.take(places), self.lengths.take(places))
        if "hashes" in self.__dict__:
            some.hashes = self.hashes.take(places)
        return some
