"""SLIM: a sparse, non-negative linear item-item model."""

from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
from scipy import sparse

from ranking.candidates.generator import top_k
from ranking.candidates.history import Memory, binary
from ranking.candidates.neighbours import Neighbours
from ranking.types import Codes, Floats, Interactions

BATCH_CELLS: Final = 1_000_000  # of the small Gram matrices at one time: 4 MB, which stays in the cache


@dataclass(frozen=True)
class SlimConfig:
    """Hyper-parameters of `Slim`.

    l1, l2: penalties in events. neighbours: how many most similar items may speak for an item.
    min_events: items with fewer neither speak nor are spoken for. tolerance: sweeps end when no weight moves further.
    memory: what of a query's history counts; its feedback also chooses the events to learn from.
    """

    l1: float = 1.0
    l2: float = 30.0
    neighbours: int = 100
    min_events: int = 3
    sweeps: int = 30
    tolerance: float = 1e-2
    memory: Memory = field(default_factory=Memory)


class Slim(Neighbours[SlimConfig]):
    """Sparse Linear Methods with feature selection, fsSLIM (Ning and Karypis 2011, sections 4.2 and 4.4).

    Column j of W minimises |x_j - X w|^2 / 2 + l2 |w|^2 / 2 + l1 |w|_1 over w >= 0 that is 0 but for the items most
    similar to j by cosine. Cyclic coordinate descent on the Gram matrix (Friedman et al. 2010), all columns of a batch
    in step. With as many neighbours as items it is SLIM itself.
    """

    name: ClassVar[str] = "slim"
    kind: ClassVar[type[object]] = SlimConfig

    @property
    def memory(self) -> Memory:
        """What of a query's history counts."""
        return self.config.memory

    def neighbours(self, train: Interactions) -> sparse.csr_matrix:
        """W."""
        x = binary(self.config.memory.training(train))
        events = np.bincount(x.indices, minlength=x.shape[1])
        kept = np.flatnonzero(events >= self.config.min_events)
        chosen = x[:, kept]
        gram: Floats = (chosen.T @ chosen).toarray()
        speakers = _most_similar(gram, self.config.neighbours)
        weights = np.zeros(speakers.shape, np.float32)
        step = max(1, BATCH_CELLS // max(speakers.shape[1] ** 2, 1))
        for start in range(0, len(kept), step):
            items = np.arange(start, min(start + step, len(kept)))
            weights[items] = solve_columns(gram, items, speakers[items], self.config)
        places = (kept[speakers].ravel(), np.repeat(kept, speakers.shape[1]))
        matrix = sparse.csr_matrix((weights.ravel(), places), shape=(x.shape[1], x.shape[1]))
        matrix.eliminate_zeros()
        return matrix


def _most_similar(gram: Floats, k: int) -> Codes:
    """Each item's k nearest others by cosine, int32 [n, min(k, n - 1)]."""
    length = np.sqrt(np.diag(gram))
    cosine: Floats = np.asarray(gram / length / length[:, None], np.float32)
    np.fill_diagonal(cosine, -1)
    codes, _ = top_k(cosine, max(min(k, len(gram) - 1), 0))
    return codes


def solve_columns(gram: Floats, items: Codes, speakers: Codes, config: SlimConfig) -> Floats:
    """Weights float32 [b, k] of the columns `items` [b], each over its own `speakers` [b, k]."""
    among = gram[speakers.T[:, :, None], speakers[None, :, :]]  # [k, b, k], so that a step reads one block
    residual = gram[speakers, items[:, None]]  # [b, k]: speakers' products with what is not yet explained
    weights = np.zeros(speakers.shape, np.float32)
    for _ in range(config.sweeps):
        moved = np.float32(0)
        for one in range(speakers.shape[1]):
            events = among[one, :, one]
            best = (residual[:, one] + events * weights[:, one] - config.l1) / (events + config.l2)
            change = np.maximum(best, 0, dtype=np.float32) - weights[:, one]
            weights[:, one] += change
            residual -= among[one] * change[:, None]
            moved = max(moved, np.abs(change).max(initial=0))
        if moved < config.tolerance:
            break
    return weights
