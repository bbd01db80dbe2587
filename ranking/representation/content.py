"""What is known of items without any event: the items table and the embeddings, as arrays in one order."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.embedding_store import VECTOR, vectors_of
from ranking.types import Bools, Floats, IdIndex, Times

UNKNOWN_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True)
class ItemContent:
    """What is known of the items without any event, rows in the order of `items`.

    vectors: modality -> float32 [n, d] (rows of missing ones are 0 and must not be read as content).
    present: modality -> bool [n]. created_at: int64 [n], minimum of int64 where unknown.
    categories: n x n_categories, bool CSR. category_names: names of those columns.
    """

    items: IdIndex
    vectors: dict[Modality, Floats]
    present: dict[Modality, Bools]
    created_at: Times
    categories: sparse.csr_matrix
    category_names: tuple[str, ...] = field(default=())


def item_content(items: pa.Table, embeddings: Mapping[Modality, pa.Table]) -> ItemContent:
    """Content of all items of a `schema.ITEMS` table, in ascending order of their ids.

    embeddings: modality -> table with item_id and vector (`EmbeddingRun.table`); rows of items that are not in
    `items` are left out, items without a row have a zero vector and are not `present`.
    """
    index = IdIndex.of(items[schema.ITEM_ID].to_pylist())
    items = items.take(np.argsort(index.codes(items[schema.ITEM_ID].to_pylist())))
    vectors, present = {}, {}
    for modality, table in embeddings.items():
        codes = index.codes(table[schema.ITEM_ID].to_pylist())
        dim = table.schema.field(VECTOR).type.list_size
        vectors[modality] = np.zeros((len(index), dim), np.float32)
        vectors[modality][codes[codes >= 0]] = vectors_of(table)[codes >= 0]
        present[modality] = np.zeros(len(index), bool)
        present[modality][codes[codes >= 0]] = True
    categories, names = items_by_category(items[schema.CATEGORIES])
    return ItemContent(index, vectors, present, _times(items[schema.CREATED_AT]), categories, names)


def _times(column: pa.ChunkedArray) -> Times:
    times: Times = pc.fill_null(column.cast(pa.int64()), UNKNOWN_TIME).to_numpy()
    return times


def items_by_category(column: pa.ChunkedArray) -> tuple[sparse.csr_matrix, tuple[str, ...]]:
    """Items x categories, bool, and the categories' names in ascending order."""
    names = IdIndex.of(pc.list_flatten(column).drop_null().to_pylist())
    rows = pc.list_parent_indices(column).to_numpy()
    codes = names.codes(pc.list_flatten(column).to_pylist())
    named = codes >= 0
    data = np.ones(named.sum(), bool)
    shape = (len(column), len(names))
    return sparse.csr_matrix((data, (rows[named], codes[named])), shape=shape), names.ids


def category_shares(categories: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each item's categories, of equal share: float32 CSR [n, c], a row sums to 1, or is empty without categories."""
    count = np.maximum(np.asarray(categories.sum(axis=1)).ravel(), 1)
    return sparse.csr_matrix(sparse.diags(1 / count) @ categories).astype(np.float32)
