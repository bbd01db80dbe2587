"""Approximate search: vectors in lists around centroids, of which a query reads the nearest few (faiss, IVF).

Source: Jegou et al. 2011, section 4, without its product quantization. Of the libraries tried at 100,000 vectors it is
built in a tenth of a graph's time at equal recall and speed, takes a filter into account while it searches, and reads
its lists from a mapped file; see docs/search.md.
"""

from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from ranking.errors import ArtifactError
from ranking.types import Bools, Codes, Floats

if TYPE_CHECKING:
    from faiss import IndexIVF

TAUGHT_A_LIST: Final = 64  # vectors that each centroid is learned from
FETCHED: Final = 2  # times as many as asked for, where they are compared in int8 and ordered in float32 afterwards


class Ivf:
    """Lists of vectors under their codes. probes: how many lists a query reads; set by whoever measures the recall."""

    def __init__(self, index: "IndexIVF", probes: int = 1) -> None:
        self._index = index
        self.probes = probes

    @classmethod
    def build(cls, rows: Floats, codes: Codes, *, int8: bool) -> "Ivf":
        """Lists of rows float32 [n, d] under their codes int32 [n]; the same rows give the same lists."""
        import faiss  # heavy: commands that search nothing must start fast

        lists = max(1, round(2 * len(rows) ** 0.5))
        kind = "SQ8" if int8 else "Flat"
        index = faiss.index_factory(rows.shape[1], f"IVF{lists},{kind}", faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1  # no warning on the error stream
        taught = np.random.default_rng(0).permutation(len(rows))[: TAUGHT_A_LIST * lists]
        index.train(rows[np.sort(taught)])
        index.add_with_ids(rows, codes.astype(np.int64))
        return cls(index)

    @property
    def lists(self) -> int:
        """How many there are."""
        return int(self._index.nlist)

    def search(self, queries: Floats, k: int, *, allowed: Bools | None = None) -> npt.NDArray[np.int64]:
        """Codes of about the k largest inner products of each query, int64 [q, k], -1 where fewer were met.

        allowed: bool by code. Of filtered items as many are compared as without a filter, by reading more lists.
        """
        import faiss  # heavy, as above

        options = faiss.SearchParametersIVF(nprobe=self.probes)
        if allowed is not None:
            share = max(int(np.count_nonzero(allowed)), 1) / self._index.ntotal
            bits = np.packbits(allowed, bitorder="little")
            probes = min(self.lists, ceil(self.probes / min(share, 1)))
            options = faiss.SearchParametersIVF(nprobe=probes, sel=faiss.IDSelectorBitmap(bits))
        found: npt.NDArray[np.int64] = self._index.search(np.ascontiguousarray(queries), k, params=options)[1]
        return found

    def save(self, path: Path) -> None:
        """Write faiss' own file."""
        import faiss  # heavy, as above

        faiss.write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path, *, probes: int) -> "Ivf":
        """Map what `save` wrote; only centroids and codes' places are in memory of this process alone."""
        import faiss  # heavy, as above

        try:
            index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP)
        except RuntimeError as error:
            raise ArtifactError(f"{path}: not a readable index ({error}); build the release again") from error
        # it would start 32 threads a query to read ahead: at 16 lists .64 ms instead of .13
        faiss.downcast_InvertedLists(index.invlists).prefetch_nthread = 0
        return cls(index, probes)
