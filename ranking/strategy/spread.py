"""More of the catalogue in the answers: among items of nearly equal worth, those that others are shown less.

Every user's first places go to much the same items. Whether the tenth is the ranker's tenth or its twentieth best costs
that user little, and lets items be seen that nobody else is shown. Source: re-ranking by popularity within a threshold
of the score (Adomavicius and Kwon 2012), here by what the plain answers show, and for the set of the first k alone:
the chosen keep the ranker's order.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.types import UNKNOWN, Bools, Codes, Floats

A_THOUSAND: Final = 1000.0
DEPTH: Final = 50  # places of the ranker from which the first k may be taken


def exposures(items: Codes, n_items: int, *, k: int = 10) -> Floats:
    """How often each item stands among the first k of ranked answers [q, k'], as a share of them, float32 [n_items]."""
    shown = items[:, :k]
    counts = np.bincount(shown[shown != UNKNOWN], minlength=n_items)
    return (counts / max(len(items), 1)).astype(np.float32)


def spread(
    items: Codes, scores: Floats, exposure: Floats, *, strength: float, k: int = 10, depth: int = DEPTH
) -> npt.NDArray[np.int64]:
    """New places of ranked answers [q, k'], best first: an index for `np.take_along_axis`, int64 [q, k'].

    The first k are chosen from the first `depth` by score, in units of the row's deviation, less `strength` times
    log(1 + times shown in a thousand answers); they and the others keep the ranker's order among themselves.
    strength 0 changes nothing. exposure: as `exposures` gives it. Items beyond `depth` and `UNKNOWN` fillings stay.
    """
    width = items.shape[1]
    place = np.broadcast_to(np.arange(width), items.shape)
    depth = min(depth, width)
    if strength <= 0 or depth <= k:
        return place.copy()
    top = items[:, :depth]
    known = top != UNKNOWN
    worth = _in_units(np.where(known, scores[:, :depth], 0), known)
    worth = worth - strength * np.log1p(A_THOUSAND * exposure[np.maximum(top, 0)])
    worth = np.where(known, worth, -np.inf)
    chosen = np.zeros(items.shape, bool)
    first = np.argsort(-worth, axis=1, kind="stable")[:, :k]
    np.put_along_axis(chosen, first, True, axis=1)
    return np.argsort(~chosen, axis=1, kind="stable")


def _in_units(scores: Floats, known: Bools) -> npt.NDArray[np.float64]:
    """Scores in units of their deviation over the row's known places; 0 where all are the same."""
    count = np.maximum(known.sum(axis=1, keepdims=True), 1)
    centred = np.where(known, scores - scores.sum(axis=1, keepdims=True) / count, 0).astype(np.float64)
    deviation = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.asarray(np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-9))
