"""Nearest items of a vector: exact search, and above a stated number of items an approximate one, measured against it.

<folder>/index.json     how it searches, and the recall that was measured
<folder>/index.faiss    lists of vectors, of an approximate one only
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from feature_repo.settings import Search
from ranking.artifacts import load_as, save_as
from ranking.errors import ArtifactError, RecallError
from ranking.representation.inputs import has_content
from ranking.representation.ivf import FETCHED, Ivf
from ranking.types import UNKNOWN, Bools, Codes, Floats

DEPTH: Final = 50  # nearest items of a query, of the measured recall
SAMPLE: Final = 200  # queries of it
LEAST_PROBES: Final = 8
MOST_PROBES: Final = 1 / 4  # of the lists: reading more is hardly faster than exact search
SMALL: Final = 4096  # allowed items that are searched exactly, in .7 ms at 128 dimensions
WORTH_GATHERING: Final = 1 / 4  # of all vectors: more are compared where they lie and left out afterwards
BLOCK: Final = 2**24  # scores in memory at one time, 64 MB

INFO: Final = "index.json"
LISTS: Final = "index.faiss"


@dataclass(frozen=True)
class IndexInfo:
    """What an index is.

    items: with a vector, of `rows`. recall: share of the `DEPTH` nearest items by brute force that it found for the
    sampled queries. lists, probes: of an approximate index, else 0. sha256: of vectors and lists.
    """

    exact: bool
    rows: int
    items: int
    dimensions: int
    recall: float
    lists: int = 0
    probes: int = 0
    int8: bool = False
    sha256: str = ""


class VectorIndex:
    """Search among vectors float32 [n, d], whose rows are item codes; rows of zeros are never found.

    Scores are inner products in float32, exact in either kind of index: an approximate one may miss an item, but never
    gives it another score or order.
    """

    def __init__(self, vectors: Floats, info: IndexInfo, ivf: Ivf | None = None) -> None:
        self.vectors = vectors
        self.info = info
        self._ivf = ivf
        self._placed = has_content(vectors)

    @classmethod
    def exact(cls, vectors: Floats) -> "VectorIndex":
        """An index that compares with every vector."""
        rows, dimensions = vectors.shape
        info = IndexInfo(True, rows, int(has_content(vectors).sum()), dimensions, recall=1.0)
        return cls(vectors, info)

    @classmethod
    def build(cls, vectors: Floats, config: Search, *, queries: Floats | None = None) -> "VectorIndex":
        """The index that a configuration wants for so many vectors, with its recall measured.

        queries: float32 [m, d] like those to come, of which `SAMPLE` are asked; default: the items themselves. Lists
        are read, twice as many each time, until the least recall is reached.

        Raises:
            RecallError: it is not reached with a quarter of the lists.
        """
        one = cls.exact(vectors)
        placed = np.flatnonzero(one._placed).astype(np.int32)
        sample = _sample(vectors[placed] if queries is None else queries)
        wanted = _brute_force(vectors, one._placed, sample)
        if len(placed) <= max(config.exact_up_to, SMALL):
            return one._measured(_recall(one.search(sample, DEPTH)[1], wanted, len(placed)), config)
        ivf = Ivf.build(vectors[placed], placed, int8=config.int8)
        info = replace(one.info, exact=False, lists=ivf.lists, int8=config.int8)
        most = max(1, int(ivf.lists * MOST_PROBES))
        ivf.probes = min(LEAST_PROBES, most)
        one = cls(vectors, info, ivf)
        recall = _recall(one.search(sample, DEPTH)[1], wanted, len(placed))
        while recall < config.least_recall and ivf.probes < most:
            ivf.probes = min(2 * ivf.probes, most)
            recall = _recall(one.search(sample, DEPTH)[1], wanted, len(placed))
        return cls(vectors, replace(info, probes=ivf.probes), ivf)._measured(recall, config)

    def _measured(self, recall: float, config: Search) -> "VectorIndex":
        """The index with its recall, if that is high enough."""
        info = replace(self.info, recall=recall)
        if recall < config.least_recall:
            raise RecallError(
                f"index of {info.items:,} vectors: recall {recall:.4f} of the {DEPTH} nearest with {info.probes} of "
                f"{info.lists} lists; at least {config.least_recall} is wanted: set index.exact_up_to to {info.items} "
                "or more for exact search, or index.least_recall lower"
            )
        return VectorIndex(self.vectors, info, self._ivf)

    def search(self, queries: Floats, k: int, *, allowed: Bools | None = None) -> tuple[Codes, Floats]:
        """The k best items of each query, best first, ties by code: codes int32 [q, k] and scores float32 [q, k].

        queries: float32 [q, d]. allowed: bool [n], other items are not found. Where there are fewer than k items the
        rest is `UNKNOWN` and -inf. Few allowed items are always searched exactly.
        """
        some = self._placed if allowed is None else self._placed & allowed
        count = int(some.sum())
        if self._ivf is None or count <= max(SMALL, k):
            return self._exactly(queries, k, None if count == len(some) else some)
        found = self._ivf.search(
            queries, k * (FETCHED if self.info.int8 else 1), allowed=None if allowed is None else some
        )
        codes, scores = np.full((len(queries), k), UNKNOWN, np.int32), np.full((len(queries), k), -np.inf, np.float32)
        for row, query in enumerate(queries):
            near = np.sort(found[row][found[row] != UNKNOWN])
            if len(near) < k:  # its lists hold too few
                codes[row], scores[row] = (one[0] for one in self._exactly(queries[row : row + 1], k, some))
            else:
                codes[row], scores[row] = _best(self.vectors[near] @ query, near, k)
        return codes, scores

    def save(self, folder: Path) -> None:
        """Write into an existing, empty folder; the vectors themselves are kept by whoever owns them."""
        info = self.info
        if self._ivf is not None:
            self._ivf.save(folder / LISTS)
            info = replace(info, sha256=_digest(self.vectors, folder / LISTS))
        save_as(folder / INFO, info, IndexInfo)

    @classmethod
    def load(cls, folder: Path, vectors: Floats) -> "VectorIndex":
        """Read what `save` wrote, over the same vectors; the lists stay on disk, mapped into memory.

        Raises `ArtifactError` for a file that is missing or damaged, or an index of other vectors.
        """
        info = load_as(folder / INFO, IndexInfo)
        if (info.rows, info.dimensions) != vectors.shape:
            raise ArtifactError(
                f"{folder}: an index of {info.rows} x {info.dimensions} numbers, not of {vectors.shape[0]} x "
                f"{vectors.shape[1]}; build the release again"
            )
        if info.exact:
            return cls(vectors, info)
        try:
            sound = _digest(vectors, folder / LISTS) == info.sha256
        except OSError as error:
            raise ArtifactError(f"{folder / LISTS}: cannot be read ({error}); build the release again") from error
        if not sound:  # faiss would crash on some of them
            raise ArtifactError(f"{folder / LISTS}: damaged, or of other vectors; build the release again")
        return cls(vectors, info, Ivf.load(folder / LISTS, probes=info.probes))

    def _exactly(self, queries: Floats, k: int, some: Bools | None) -> tuple[Codes, Floats]:
        """Compare with every vector, or every one of `some`."""
        codes, rows = np.arange(len(self.vectors)), self.vectors
        if some is not None and some.mean() < WORTH_GATHERING:
            codes, rows, some = np.flatnonzero(some), self.vectors[some], None
        found, best = np.empty((len(queries), k), np.int32), np.empty((len(queries), k), np.float32)
        step = max(1, BLOCK // max(len(rows), 1))
        for start in range(0, len(queries), step):
            block = queries[start : start + step] @ rows.T
            if some is not None:
                block[:, ~some] = -np.inf
            for row, scores in enumerate(block, start):
                found[row], best[row] = _best(scores, codes, k)
        return found, best


def _best(scores: Floats, codes: npt.NDArray[np.int64], k: int) -> tuple[Codes, Floats]:
    """The k largest scores and their codes, `UNKNOWN` at -inf; codes ascend, so a stable sort breaks ties by them."""
    places = np.arange(len(scores))
    if k < len(scores):
        places = np.flatnonzero(scores >= np.partition(scores, len(scores) - k)[-k])
    places = places[np.argsort(-scores[places], kind="stable")][:k]
    best = np.pad(scores[places], (0, k - len(places)), constant_values=-np.inf)
    found = np.pad(codes[places].astype(np.int32), (0, k - len(places)), constant_values=UNKNOWN)
    return np.where(np.isneginf(best), UNKNOWN, found), best


def _brute_force(vectors: Floats, placed: Bools, queries: Floats) -> Floats:
    """Score of each query's item number `DEPTH` (the last one where there are fewer), float32 [q, 1]."""
    rows = vectors[placed]
    worst = [np.sort(rows @ query)[-DEPTH:][:1] for query in queries]
    return np.array([one if len(one) else [-np.inf] for one in worst], np.float32).reshape(-1, 1)


def _sample(queries: Floats) -> Floats:
    return queries[np.sort(np.random.default_rng(0).permutation(len(queries))[:SAMPLE])]


def _recall(scores: Floats, wanted: Floats, items: int) -> float:
    """Share of the places that hold an item as near as the last one of brute force, 1 without queries.

    scores: float32 [q, k] of what was found, -inf where nothing was. wanted: float32 [q, 1]. The order of a sum's terms
    changes it by less than a millionth.
    """
    there = scores[:, : min(DEPTH, items)]
    return float((there >= wanted - 1e-6).mean()) if there.size else 1.0


def _digest(vectors: Floats, lists: Path) -> str:
    with lists.open("rb") as file:
        whole = hashlib.file_digest(file, "sha256")
    whole.update(np.ascontiguousarray(vectors).data)
    return whole.hexdigest()
