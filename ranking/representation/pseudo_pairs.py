"""Items without behaviour borrow some: pseudo-likes shared with their most certain neighbours.

Pseudo-labelling (Lee 2013) with neighbours in place of classes: an item that hardly anybody has met and an item with
likes, each among the nearest of the other in the space of predicted audiences (`FactorMapping`), are taken to be liked
together, if pairs as near as these were, among items whose likes were hidden. Off unless `AlignmentConfig` asks for
them; see docs/active-help.md for what they are worth.
"""

import logging
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.representation.behaviour import positives
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.inputs import unit_rows
from ranking.types import Bools, Codes, Floats, Interactions

log = logging.getLogger(__name__)

HIDDEN: Final = 0.2  # share of the items with enough likes whose likes are hidden to choose the threshold
ENOUGH: Final = 5  # likes that say who an item's audience is
CO_LIKED: Final = 50  # a pair is right if the neighbour is among so many whose audiences are most like the hidden one's
EVIDENCE: Final = 20  # fewer pairs of hidden items say nothing about a threshold
MAX_HIDDEN: Final = 1000  # items, to bound the memory
BATCH: Final = 512  # items compared at one time


@dataclass(frozen=True)
class PseudoPairConfig:
    """Which pairs are made.

    max_likes: items with at most so many likes are given pairs. neighbours: a pair is each among so many nearest of
    the other. least_precision: share of pairs of hidden items, as near or nearer, that must be right.
    per_item: pairs an item at most, the nearest. share: pairs a like that is learned from, at most.
    """

    max_likes: int = 0
    neighbours: int = 5
    least_precision: float = 0.3
    per_item: int = 3
    share: float = 0.03


@dataclass(frozen=True)
class PseudoPairs:
    """Pairs, nearest first.

    item, neighbour: int32 [p] codes. confidence: float32 [p], cosine of the predicted audiences.
    threshold: the least confidence allowed; infinite where no threshold was precise enough.
    precision: of the pairs of hidden items at that threshold; 0 without any.
    """

    item: Codes
    neighbour: Codes
    confidence: Floats
    threshold: float
    precision: float

    def as_users(self, n_items: int) -> sparse.csr_matrix:
        """One pseudo-user a pair, who likes both: float32 [p, n_items]."""
        n = len(self.item)
        items = np.stack([self.item, self.neighbour], axis=1).ravel()
        return sparse.csr_matrix((np.ones(2 * n, np.float32), (np.repeat(np.arange(n), 2), items)), shape=(n, n_items))


def find_pseudo_pairs(
    content: ItemContent, train: Interactions, *, config: PseudoPairConfig | None = None, seed: int = 0
) -> PseudoPairs:
    """Pairs of `train`, under a threshold chosen on items of it whose likes were hidden; deterministic."""
    config = config or PseudoPairConfig()
    liked = positives(train)
    likes = np.asarray(liked.sum(0), np.float32).ravel()
    threshold, precision = _threshold(content, train, liked, likes, config, seed)
    audiences = unit_rows(FactorMapping.fit(content, train).item_vectors(content))
    few = np.flatnonzero((likes <= config.max_likes) & audiences.any(axis=1))
    left, right, confidence = mutual_neighbours(
        audiences, few, np.flatnonzero(likes > config.max_likes), config.neighbours
    )
    kept = np.flatnonzero(confidence >= threshold)
    kept = kept[_place(left[kept]) < config.per_item][: int(config.share * liked.nnz)]
    log.info("%d pseudo-pairs, of cosine %.2f or more: %.2f of such pairs were right", len(kept), threshold, precision)
    return PseudoPairs(left[kept], right[kept], confidence[kept], threshold, precision)


def mutual_neighbours(
    vectors: Floats, left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], k: int
) -> tuple[Codes, Codes, Floats]:
    """Pairs of a `left` and a `right` item, each among the k nearest of the other's side; nearest first.

    vectors: float32 [n, d], unit rows. Returns codes of both, int32 [p], and their cosines, float32 [p].
    """
    forward = _nearest(vectors[left], vectors[right], k)
    backward = _nearest(vectors[right], vectors[left], k).T
    both = forward.multiply(backward).tocoo()
    cosine = np.einsum("pd,pd->p", vectors[left[both.row]], vectors[right[both.col]])
    order = np.lexsort((both.col, both.row, -cosine))
    return (
        left[both.row[order]].astype(np.int32),
        right[both.col[order]].astype(np.int32),
        cosine[order].astype(np.float32),
    )


def _nearest(asked: Floats, offered: Floats, k: int) -> sparse.csr_matrix:
    """1 where an offered row is among the k nearest of an asked one, [a, o]."""
    k = min(k, len(offered))
    found = np.empty((len(asked), k), np.int64)
    for start in range(0, len(asked), BATCH):
        similarity = asked[start : start + BATCH] @ offered.T
        found[start : start + BATCH] = np.argpartition(-similarity, k - 1, axis=1)[:, :k] if k else 0
    rows = np.repeat(np.arange(len(asked)), k)
    return sparse.csr_matrix((np.ones(rows.size, np.float32), (rows, found.ravel())), (len(asked), len(offered)))


def _threshold(
    content: ItemContent,
    train: Interactions,
    liked: sparse.csr_matrix,
    likes: Floats,
    config: PseudoPairConfig,
    seed: int,
) -> tuple[float, float]:
    """The least cosine at which pairs of hidden items are precise enough, and how precise they are."""
    able = np.random.default_rng(seed).permutation(np.flatnonzero(likes >= ENOUGH))
    hidden = np.sort(able[: min(int(HIDDEN * len(able)), MAX_HIDDEN)])
    is_hidden = np.isin(np.arange(len(likes)), hidden)
    known = np.flatnonzero((likes > config.max_likes) & ~is_hidden)
    if not len(hidden) or not len(known):
        return np.inf, 0.0
    mapping = FactorMapping.fit(content, train.where(~is_hidden[train.item]))
    audiences = unit_rows(mapping.item_vectors(content))
    left, right, confidence = mutual_neighbours(audiences, hidden, known, config.neighbours)
    return least_confidence(confidence, _right(liked, hidden, known, left, right), config.least_precision)


def least_confidence(confidence: Floats, right: Bools, precision: float) -> tuple[float, float]:
    """The end of the longest run of the most confident pairs that is precise enough, and its precision.

    confidence: descending [p]. Runs shorter than `EVIDENCE` do not count; infinite and 0 without any run.
    """
    reached = np.cumsum(right) / np.arange(1, len(right) + 1)
    enough = np.flatnonzero((reached >= precision) & (np.arange(len(right)) >= EVIDENCE - 1))
    return (float(confidence[enough[-1]]), float(reached[enough[-1]])) if len(enough) else (np.inf, 0.0)


def _right(
    liked: sparse.csr_matrix, hidden: npt.NDArray[np.int64], known: npt.NDArray[np.int64], left: Codes, right: Codes
) -> Bools:
    """Whether each pair's neighbour is among the known items whose audience is most like the hidden item's."""
    length = np.sqrt(np.maximum(np.asarray(liked.sum(0)).ravel(), 1))
    shared = (liked[:, hidden].T @ liked[:, known]).toarray() / length[known]  # the hidden item's length orders nothing
    best = np.argsort(-shared, axis=1, kind="stable")[:, :CO_LIKED]
    top = np.zeros(shared.shape, bool)
    np.put_along_axis(top, best, True, axis=1)
    top &= shared > 0
    return np.asarray(top[np.searchsorted(hidden, left), np.searchsorted(known, right)])


def _place(item: Codes) -> npt.NDArray[np.int64]:
    """How many earlier entries are of the same item, [p]."""
    order = np.argsort(item, kind="stable")
    ordered = item[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    place = np.empty(len(item), np.int64)
    place[order] = np.arange(len(item)) - starts
    return place
