"""What histories hold, as weights of items, and their products with what models know of items.

A request has one history and asks some twenty models. scipy's sparse matrices take 15 us and more to be made, by checks
that a history of thirty items does not need: most of a request's time, before these products were written out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from ranking.kernels import add_columns, add_rows, distinct_in_rows, fill_block

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
Places = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Profiles:
    """Weights of items, q rows in CSR form, no item twice in a row and no weight of 0; never changed once made.

    indptr: int64 [q + 1]. indices: int [m], item codes. data: float32 [m]. n_items: columns.
    """

    indptr: npt.NDArray[np.int64]
    indices: Places
    data: Floats
    n_items: int

    @classmethod
    def of(
        cls, indptr: npt.NDArray[np.int64], item: Places, weight: Floats, n_items: int, *, distinct: bool = False
    ) -> Self:
        """From histories in CSR form: weights of an item that is met again are summed. distinct: none is."""
        weight = np.asarray(weight, np.float32)
        kept = weight != 0
        if not kept.all():
            indptr = np.append(0, np.cumsum(kept))[indptr]
            item, weight = item[kept], weight[kept]
        if distinct or distinct_in_rows(indptr, item):
            return cls(indptr, item, weight, n_items)
        key, place = np.unique(keys(indptr, item, n_items), return_inverse=True)
        count = np.bincount(key // n_items, minlength=len(indptr) - 1)
        weight = np.bincount(place, weight, minlength=len(key)).astype(np.float32)
        return cls(np.append(0, np.cumsum(count)), (key % n_items).astype(item.dtype), weight, n_items)

    @classmethod
    def of_matrix(cls, matrix: sparse.csr_matrix) -> Self:
        """From scipy's, whose arrays are shared."""
        return cls(matrix.indptr.astype(np.int64), matrix.indices, matrix.data, matrix.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.indptr) - 1, self.n_items

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @cached_property
    def answered(self) -> Bools:
        """Which rows hold anything, bool [q]."""
        return self.indptr[1:] > self.indptr[:-1]

    @cached_property
    def totals(self) -> Floats:
        """Sum of each row's weights, float32 [q]."""
        return self.sums(self.data).astype(np.float32)

    def sums(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Sum of each row's values, of [m], float64 [q]."""
        row = np.repeat(np.arange(len(self)), self.indptr[1:] - self.indptr[:-1])
        return np.asarray(np.bincount(row, values, minlength=len(self)), np.float64)

    def times(self, matrix: Floats) -> Floats:
        """The product with a dense matrix [n_items, d], float32 [q, d]; each row by itself, alone as in a batch."""
        found = np.zeros((len(self), matrix.shape[1]), np.float32)
        for row, mine in self._rows():
            found[row] = self.data[mine] @ matrix[self.indices[mine]]
        return found

    def times_some(self, matrix: Floats, columns: Places) -> Floats:
        """Some columns of that product, [q, c], 0 for a column of -1; a row's entries alone are read."""
        found = np.zeros((len(self), len(columns)), np.float32)
        for row, mine in self._rows():
            add_columns(found[row], matrix, self.indices[mine], self.data[mine], columns)
        return found

    def through(self, matrix: sparse.csr_matrix) -> Floats:
        """The product with a sparse matrix [n_items, d], float32 [q, d]; each row by itself, alone as in a batch."""
        width = matrix.shape[1]
        found = np.zeros((len(self), width), np.float32)
        for row, mine in self._rows():
            total = np.zeros(width)
            add_rows(total, matrix.indptr, matrix.indices, matrix.data, self.indices[mine], self.data[mine])
            found[row] = total
        return found

    def scaled(self, worth: Floats | float) -> Self:
        """Weights times what their items are worth, float32 [n_items], or all are; none of these may be 0."""
        of_each = worth[self.indices] if isinstance(worth, np.ndarray) else np.float32(worth)
        return type(self)(self.indptr, self.indices, self.data * of_each, self.n_items)

    def only(self, column: Places, n_columns: int) -> Self:
        """In a smaller matrix: column says where each item stands there, int64 [n_items], -1 where it does not."""
        place = column[self.indices]
        kept = place >= 0
        indptr = np.append(0, np.cumsum(kept))[self.indptr]
        return type(self)(indptr, place[kept], self.data[kept], n_columns)

    def dense(self) -> Floats:
        """As float32 [q, n_items]."""
        found = np.zeros(self.shape, np.float32)
        for row, mine in self._rows():
            found[row, self.indices[mine]] = self.data[mine]
        return found

    def matrix(self) -> sparse.csr_matrix:
        """As scipy's, a copy."""
        return sparse.csr_matrix((self.data, self.indices, self.indptr), self.shape, copy=True)

    def _rows(self) -> Iterator[tuple[int, slice]]:
        """Rows that hold anything, and where."""
        return ((row, slice(*span)) for row, span in enumerate(pairwise(self.indptr.tolist())) if span[1] > span[0])


def columns_of(known: Bools) -> npt.NDArray[np.int64]:
    """Where each known item, bool [n_items], stands among the known ones, int64 [n_items]; -1 for the others."""
    return np.asarray(np.where(known, np.cumsum(known) - 1, -1), np.int64)


def keys(indptr: npt.NDArray[np.int64], item: Places, n_items: int) -> npt.NDArray[np.int64]:
    """One number for each pair of row and item of a CSR form, int64 [m], ascending as the rows do."""
    return np.repeat(np.arange(len(indptr) - 1) * n_items, np.diff(indptr)) + item


def block(matrix: sparse.csr_matrix, rows: Places, columns: Places) -> Floats:
    """Entries of a sparse matrix at some rows, any of them twice, and some columns, each once: float32 [r, c]."""
    found = np.empty((len(rows), len(columns)), np.float32)
    fill_block(found, matrix.indptr, matrix.indices, matrix.data, rows, columns, matrix.shape[1])
    return found


def entries(matrix: sparse.csr_matrix, rows: Places) -> tuple[Places, Places]:
    """Positions of all entries of some rows, one row after the other, and how many each row has."""
    start = matrix.indptr[rows]
    count = matrix.indptr[rows + 1] - start
    before = np.cumsum(count) - count
    return np.arange(count.sum()) + np.repeat(start - before, count), count
