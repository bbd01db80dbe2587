"""Slates: the candidates of each query with everything that a ranker may know of them.

A row's features come from three sides: which generators found the item and how high (provenance), what the feature
store says of user, item and surroundings at the query's moment, and what a log teaches of items and tastes
(`Knowledge`): where the item lies in the aligned space, and how it compares with what the user is used to.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from feature_repo import schema
from feature_repo.columns import Column, Columns, table_of
from feature_repo.transforms import REQUESTED_AT
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import NOT_OFFERED
from ranking.metrics import relevant_at
from ranking.rankers import store_columns
from ranking.rankers.features import FeatureMatrix, Part, beside
from ranking.rankers.knowledge import Knowledge, Whereabouts
from ranking.rankers.standardised import standardise
from ranking.rankers.store_columns import Vocabulary, as_numbers
from ranking.types import UNKNOWN, Bools, Codes, Floats, IdIndex, Queries

FeatureSource: TypeAlias = Callable[[pa.Table], pa.Table]
"""Rows of user_id, item_id, event_timestamp, requested_at, device, place in; the same rows with features out."""

KEYS: Final = (
    schema.USER_ID,
    schema.ITEM_ID,
    schema.EVENT_TIMESTAMP,
    REQUESTED_AT,
    schema.DEVICE,
    schema.PLACE,
)
CONTENT_GENERATORS: Final = frozenset({"aligned", "aligned_recent", "aligned_session", "cold_start"})
CONTEXT_GENERATORS: Final = frozenset({"fitting"})
IN_SLATE: Final = "_in_slate"  # ends the name of a column that is standardised within the slate
_ASKED: Final = dict.fromkeys(("fused", "history_length"), Part.BEHAVIOUR)
_RELATIVE: Final = ("item_positives", "item_positives_28d", "item_positives_365d", "item_mean_value")


@dataclass(frozen=True)
class Slates:
    """Candidates of q queries as n rows, query after query, best fused candidate first.

    groups: int64 [q], rows of each query. row: int64 [n], the query of each row. features: n rows.
    """

    candidates: Candidates
    groups: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    features: FeatureMatrix

    def labels(self, relevant: sparse.csr_matrix) -> Bools:
        """Whether each row's item is relevant to its query, bool [n]."""
        return relevant_at(relevant, self.row, self.candidates.items)

    def scatter(self, scores: Floats) -> Floats:
        """Row scores in the shape of the candidates, float32 [q, k], -inf in the padding."""
        padded = np.full(self.candidates.item.shape, -np.inf, np.float32)
        padded[self.candidates.item != UNKNOWN] = scores
        return padded


def request_rows(candidates: Candidates, queries: Queries, users: IdIndex, items: IdIndex) -> pa.Table:
    """The rows to ask a feature source for: `KEYS`, one a candidate; an anonymous user's id is empty."""
    return table_of(request_columns(candidates, queries, users, items))


def request_columns(candidates: Candidates, queries: Queries, users: IdIndex, items: IdIndex) -> dict[str, Column]:
    """The same by columns."""
    row = candidates.row
    return {
        schema.USER_ID: Column(users.arrow(queries.user), row),
        schema.ITEM_ID: Column(items.arrow(candidates.items)),
        schema.EVENT_TIMESTAMP: Column(pa.array(queries.as_of).view(schema.TIMESTAMP), row),
        REQUESTED_AT: Column(pa.array(queries.at).view(schema.TIMESTAMP), row),
        schema.DEVICE: Column(pa.array(queries.device, pa.string()), row),
        schema.PLACE: Column(pa.array(queries.place, pa.string()), row),
    }


def describe(
    candidates: Candidates,
    queries: Queries,
    store_rows: pa.Table | Columns,
    *,
    close: FeatureMatrix,
    knowledge: Knowledge,
    vocabulary: Vocabulary,
) -> Slates:
    """Slates of candidates whose feature-store rows and `closeness` (in the order of `request_rows`) are given."""
    row, groups = candidates.row, np.bincount(candidates.row, minlength=len(candidates))
    stored = _stored(store_rows, vocabulary)
    features = beside(
        [
            _provenance(candidates, candidates.generators, groups),
            _asked(candidates, queries),
            _in_slates(close, groups),
            stored,
            _in_slates(stored.only([name for name in _RELATIVE if name in stored.parts]), groups),
            *knowledge.features(row, candidates.items, queries, _users(store_rows[schema.USER_ID], groups)),
        ]
    )
    return Slates(candidates, groups, row, features)


def moved(
    slates: Slates, candidates: Candidates, queries: Queries, *, generators: Sequence[str], where: Whereabouts
) -> Slates:
    """The slates where the items lie elsewhere: what goes by their places is told anew.

    candidates: the same ones, as those generators, which go by places, rank them now.
    """
    found = _provenance(candidates, generators, slates.groups)
    told = where.features(slates.row, candidates.items, queries)
    return Slates(candidates, slates.groups, slates.row, slates.features.replaced(beside([found, *told])))


def _stored(store_rows: pa.Table | Columns, vocabulary: Vocabulary) -> FeatureMatrix:
    if isinstance(store_rows, pa.Table):
        numbers = as_numbers(store_rows.drop_columns(list(KEYS)), vocabulary)
    else:
        numbers = as_numbers({name: store_rows[name] for name in store_rows if name not in KEYS}, vocabulary)
    if not numbers:
        return FeatureMatrix.nothing(len(store_rows[schema.USER_ID]))
    return FeatureMatrix.of(numbers, _parts_of_stored(tuple(numbers)))


@lru_cache(maxsize=8)
def _parts_of_stored(names: tuple[str, ...]) -> dict[str, Part]:
    return {name: store_columns.part_of(name) for name in names}


def _asked(candidates: Candidates, queries: Queries) -> FeatureMatrix:
    values = np.empty((len(candidates.row), len(_ASKED)), np.float32)
    values[:, 0] = candidates.fused[candidates.item != UNKNOWN]
    values[:, 1] = queries.lengths[candidates.row]
    return FeatureMatrix(tuple(_ASKED), values, _ASKED)


def _users(user: pa.ChunkedArray | Column, groups: npt.NDArray[np.int64]) -> list[str]:
    """Each query's user, of the ids of all rows; empty where a query has no row."""
    first = (np.cumsum(groups) - groups).tolist()
    return [user[row].as_py() if size else "" for row, size in zip(first, groups.tolist(), strict=True)]


def _provenance(candidates: Candidates, generators: Sequence[str], groups: npt.NDArray[np.int64]) -> FeatureMatrix:
    """Score, score within the slate, and rank by each of the generators, NaN where it tells none."""
    chosen = np.array([candidates.generators.index(name) for name in generators], np.int64)
    values = np.empty((len(candidates.row), len(chosen), 3), np.float32)
    score = _scores_and_ranks(candidates.item, candidates.score, candidates.rank, chosen, values)
    values[:, :, 1] = standardise(score, groups)
    parts = _parts_of_provenance(tuple(generators))
    return FeatureMatrix(tuple(parts), values.reshape(len(values), len(parts)), parts)


@numba.njit(cache=True, nogil=True)
def _scores_and_ranks(item: Codes, score: Floats, rank: Codes, chosen: npt.NDArray[np.int64], found: Floats) -> Floats:
    """Fill in columns 0 and 2 of `_provenance`, float32 [n, g, 3], and return the first alone, [n, g]."""
    told = np.empty(found.shape[:2], np.float32)
    row = 0
    for query in range(len(item)):
        for place in range(item.shape[1]):
            if item[query, place] != UNKNOWN:
                for number in range(len(chosen)):
                    its_score, its_rank = score[query, place, chosen[number]], rank[query, place, chosen[number]]
                    told[row, number] = its_score if its_score != NOT_OFFERED else np.nan
                    found[row, number, 0] = told[row, number]
                    found[row, number, 2] = its_rank if its_rank > 0 else np.nan
                row += 1
    return told


@lru_cache(maxsize=8)
def _parts_of_provenance(generators: tuple[str, ...]) -> dict[str, Part]:
    """Of the columns of `_provenance`, in their order."""
    told = ("_score", "_score" + IN_SLATE, "_rank")
    return {name + one: _part_of(name) for name in generators for one in told}


def _part_of(generator: str) -> Part:
    if generator in CONTEXT_GENERATORS:
        return Part.CONTEXT
    return Part.CONTENT if generator in CONTENT_GENERATORS else Part.BEHAVIOUR


def _in_slates(features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> FeatureMatrix:
    """The columns standardised within the slate, under names that end so; NaN counts as 0 there and stays NaN."""
    parts = {name + IN_SLATE: features.parts[name] for name in features.names}
    return FeatureMatrix(tuple(parts), standardise(features.values, groups), parts)
