"""What the aligned space may be: no modality collapsed in it, none far from another."""

from collections.abc import Mapping
from itertools import combinations
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo.settings import Suites
from validation.expectations import of_table
from validation.suite import Suite
from validation.vector_statistics import Floats, effective_rank, mean_pairwise_cosine, modality_gap

ENOUGH: Final = 20  # items with the modality
_RANK: Final = "{}_effective_rank"
_COSINE: Final = "{}_mean_pairwise_cosine"
_GAP: Final = "{}_{}_modality_gap"
_COLLAPSED: Final = "the head of this modality has learned nothing: look at its vectors, or leave the modality out"
_APART: Final = (
    "no vector of one modality finds its like in the other: encode both by one joint model, leave one out, "
    "or raise `modality_gap` under [suites]"
)


def measured(vectors: Mapping[str, Floats]) -> pa.Table:
    """One row: of each modality how its vectors spread, of each two how far their centroids lie apart.

    vectors: modality -> float32 [n, d], unit rows, rows of zeros where items lack it. A modality of fewer than 20 items
    is left out.
    """
    placed = {name: rows[rows.any(axis=1)] for name, rows in sorted(vectors.items())}
    placed = {name: rows for name, rows in placed.items() if len(rows) >= ENOUGH}
    numbers = {"modalities": float(len(placed))}
    for name, rows in placed.items():
        numbers[_RANK.format(name)] = effective_rank(rows)
        numbers[_COSINE.format(name)] = mean_pairwise_cosine(rows)
    for one, other in combinations(placed, 2):
        numbers[_GAP.format(one, other)] = modality_gap(placed[one], placed[other])
    return pa.table({name: np.array([number]) for name, number in numbers.items()})


def suite(table: pa.Table, limits: Suites) -> Suite:
    """The suite of a table that `measured` gave."""
    expectations = [of_table("modalities", 0)]  # one to begin with: there may be no modality to judge
    for column in table.column_names:
        if column.endswith(_RANK.format("")):
            expectations.append(of_table(column, limits.effective_rank).or_else(_COLLAPSED))
        elif column.endswith(_COSINE.format("")):
            expectations.append(of_table(column, None, limits.mean_cosine).or_else(_COLLAPSED))
        elif column.endswith("_modality_gap"):
            expectations.append(of_table(column, None, limits.modality_gap).or_else(_APART))
    return Suite("aligned_space", tuple(table.column_names), expectations)
