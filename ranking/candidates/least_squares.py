"""Factors of some rows (users, items) that fit their weights, given the factors of the other side, in closed form."""

from collections.abc import Iterator
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.candidates.threads import one_blas_thread
from ranking.profiles import Profiles
from ranking.types import Codes

Real = TypeVar("Real", np.float32, np.float64)

BATCH_CELLS: Final = 100_000  # gathered factor values at one time; 40 times as many take twice the time


def solve_rows(
    rows: sparse.csr_matrix | Profiles,
    factors: npt.NDArray[Real],
    everything: npt.NDArray[Real],
    l2: npt.NDArray[np.floating],
    *,
    unit: float = 0.0,
    wanted: npt.NDArray[Real] | None = None,
) -> npt.NDArray[Real]:
    """Factors [r, d] of the type of `factors`; empty rows have 0.

    The solution of (everything + sum of w yy' + l2 I) x = sum of (w + unit) y over a row's weights w and the factors y
    of their columns. Rows of similar length are solved together, padded to the longest.

    Args:
        rows: weights w, CSR [r, n].
        factors: y, [n, d].
        everything: what all of `factors` add to the left whether or not they are met, [d, d].
        l2: of each row, [r].
        unit: what being met is worth on the right beside the weight.
        wanted: of each entry of `rows`, [nnz]: stands on the right in place of w + unit.
    """
    if rows.shape[0] == 1:  # a query, of which a request has one
        return _solve_row(rows.data, factors[rows.indices], everything, l2[0], unit, wanted)[None]
    counts = np.diff(rows.indptr)
    solution = np.zeros((rows.shape[0], factors.shape[1]), factors.dtype)
    identity = np.eye(factors.shape[1], dtype=factors.dtype)
    with one_blas_thread():
        for batch in _batches(counts, factors.shape[1]):
            place = np.arange(counts[batch[-1]])
            inside = place < counts[batch, None]
            entry = np.where(inside, rows.indptr[batch, None] + place, 0)
            weight = rows.data[entry] * inside  # [b, longest]
            near = factors[rows.indices[entry]]  # [b, longest, d]
            weighted = near * weight[:, :, None]
            left = everything + weighted.transpose(0, 2, 1) @ near + l2[batch, None, None] * identity
            right = weighted + unit * near * inside[:, :, None] if unit else weighted
            if wanted is not None:
                right = near * (wanted[entry] * inside)[:, :, None]
            solution[batch] = np.linalg.solve(left, right.sum(axis=1)[:, :, None])[:, :, 0]
    return solution


def _solve_row(
    weight: npt.NDArray[np.floating],
    near: npt.NDArray[Real],
    everything: npt.NDArray[Real],
    l2: np.floating,
    unit: float,
    wanted: npt.NDArray[Real] | None,
) -> npt.NDArray[Real]:
    """The same of one row, float [d], within rounding: of its weights [m] and the factors [m, d] of their columns."""
    solution = np.zeros(near.shape[1], near.dtype)
    if len(weight):
        weighted = near * weight[:, None]
        left = everything + weighted.T @ near
        left.reshape(-1)[:: len(left) + 1] += l2
        right = weighted + unit * near if unit else weighted
        if wanted is not None:
            right = near * wanted[:, None]
        with one_blas_thread():
            solution[:] = np.linalg.solve(left, right.sum(axis=0))
    return solution


def _batches(counts: npt.NDArray[np.int32], width: int) -> Iterator[Codes]:
    """Rows that are not empty, longest first, so many at a time that their gathered factors stay in the cache."""
    order = np.argsort(counts, kind="stable").astype(np.int32)
    order = order[counts[order] > 0]
    while len(order):
        batch = order[-max(1, BATCH_CELLS // int(counts[order[-1]] * width)) :]
        order = order[: -len(batch)]
        yield batch
