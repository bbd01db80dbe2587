"""What each column adds to the margins of LightGBM's trees: TreeSHAP, many times as fast as its own for a few rows.

Source: Lundberg, Erion, Lee, Consistent individualized feature attribution for tree ensembles (2018), with expectations
along the paths of a tree (algorithm 2), which is what LightGBM computes. Ours: a leaf gives to column i of its path
value x (met_i - share_i) x the mean over t in [0, 1] of the product, over the path's other columns j, of
t met_j + (1 - t) share_j, since t^s (1 - t)^(d - 1 - s) has as its mean the weight of a coalition of s columns among d.
That is a polynomial in t, which a few points of Gauss and Legendre average exactly.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple, Self, TypeAlias

import lightgbm as lgb
import numba
import numpy as np
import numpy.typing as npt

from ranking.rankers.forest import Places, Tree, trees_of
from ranking.types import Bools, Floats

Parts: TypeAlias = npt.NDArray[np.float64]

_NO_EDGE: Final = np.float32(np.nan)  # nothing is at most this


class Condition(NamedTuple):
    """What a path asks of one column, in however many nodes.

    A value meets it that is at most `most` and not at most `below`, and NaN if `missing`. share: of the rows that came
    to these nodes, those that went on along the path.
    """

    below: np.float32 = _NO_EDGE
    most: np.float32 = np.float32(np.inf)
    missing: bool = True
    share: float = 1.0


@dataclass(frozen=True)
class Paths:
    """The ways from the roots of a booster's trees to their leaves, each column of a way once.

    ends: int32 [leaves + 1], conditions before each leaf. value: float64 [leaves]. column, below, most, missing, share:
    int32, float32, float32, bool, float64 [conditions], see `Condition`. point, weight: float64 [p + 1, p], in row n
    the n points in [0, 1] whose weighted mean is that of any polynomial of degree below 2 n.
    """

    ends: Places
    value: Parts
    column: Places
    below: Floats
    most: Floats
    missing: Bools
    share: Parts
    point: Parts
    weight: Parts

    @classmethod
    def of(cls, booster: lgb.Booster) -> Self:
        """What a booster has learned; of numbers alone, without categories."""
        leaves = [leaf for tree in trees_of(booster) for leaf in _leaves(tree)]
        sizes = [len(met) for _, met in leaves]
        column = [one for _, met in leaves for one in met]
        asked = [one for _, met in leaves for one in met.values()]
        point, weight = _points((max(sizes) + 1) // 2)
        return cls(
            ends=np.cumsum([0, *sizes]).astype(np.int32),
            value=np.array([value for value, _ in leaves]),
            column=np.array(column, np.int32),
            below=np.array([one.below for one in asked], np.float32),
            most=np.array([one.most for one in asked], np.float32),
            missing=np.array([one.missing for one in asked], bool),
            share=np.array([one.share for one in asked], np.float64),
            point=point,
            weight=weight,
        )

    def added(self, values: Floats) -> Parts:
        """What each column adds to rows' margins, float64 [n, f]; values: float32 [n, f], NaN where one is missing.

        A row sums to its margin less the mean of all rows that were learned from.
        """
        columns = np.ascontiguousarray(np.asarray(values, np.float32).T)
        conditions = self.column, self.below, self.most, self.missing, self.share
        return np.asarray(_added(columns, self.ends, self.value, *conditions, self.point, self.weight)).T


def _leaves(tree: Tree) -> Iterator[tuple[float, dict[int, Condition]]]:
    """Each leaf's value, and its path's condition on each column."""
    waiting: list[tuple[int, dict[int, Condition]]] = [(0 if len(tree.column) else ~0, {})]
    while waiting:
        child, met = waiting.pop()
        if child < 0:
            yield float(tree.value[~child]), met
            continue
        column, edge, missing = int(tree.column[child]), tree.threshold[child], bool(tree.missing_left[child])
        before = met.get(column, Condition())
        for side, below, most, here in (
            (int(tree.left[child]), before.below, min(before.most, edge), missing),
            (int(tree.right[child]), np.fmax(before.below, edge), before.most, not missing),
        ):
            rows = tree.leaf_rows[~side] if side < 0 else tree.node_rows[side]
            share = before.share * float(rows / tree.node_rows[child])
            waiting.append((side, {**met, column: Condition(below, most, before.missing and here, share)}))


def _points(most: int) -> tuple[Parts, Parts]:
    point, weight = np.zeros((most + 1, most)), np.zeros((most + 1, most))
    for n in range(1, most + 1):
        x, w = np.polynomial.legendre.leggauss(n)
        point[n, :n], weight[n, :n] = (x + 1) / 2, w / 2
    return point, weight


@numba.njit(cache=True, nogil=True)
def _added(
    values: Floats,
    ends: Places,
    value: Parts,
    column: Places,
    below: Floats,
    most: Floats,
    missing: Bools,
    share: Parts,
    point: Parts,
    weight: Parts,
) -> Parts:
    n = values.shape[1]
    added = np.zeros(values.shape)
    met = np.empty((2 * point.shape[1], n))
    product = np.empty(n)
    for leaf in range(len(value)):
        first, d = ends[leaf], ends[leaf + 1] - ends[leaf]
        for one in range(d):
            at = first + one
            x, low, high, gap, here = values[column[at]], below[at], most[at], missing[at], met[one]
            for row in range(n):
                here[row] = ((x[row] <= high) & (not x[row] <= low)) | (gap & (x[row] != x[row]))
        points = (d + 1) // 2
        for number in range(points):
            t = point[points, number]
            product[:] = value[leaf] * weight[points, number]
            for one in range(d):
                unmet, here = (1 - t) * share[first + one], met[one]
                for row in range(n):
                    product[row] *= unmet + t * here[row]
            unmet = -1 / (1 - t)
            for one in range(d):
                # (met - share) / (t met + (1 - t) share), which is one of two numbers
                more = (1 - share[first + one]) / (t + (1 - t) * share[first + one]) - unmet
                total, here = added[column[first + one]], met[one]
                for row in range(n):
                    total[row] += product[row] * (unmet + more * here[row])
    return added
