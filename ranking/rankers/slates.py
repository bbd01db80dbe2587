"""Slates: the candidates of each query with everything that a ranker may know of them.

A row's features come from three sides: which generators found the item and how high (provenance), what the feature
store says of user, item and surroundings at the query's moment, and what a log teaches of items and tastes
(`Knowledge`): where the item lies in the aligned space, and how it compares with what the user is used to.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from feature_repo import schema
from feature_repo.transforms import REQUESTED_AT
from ranking.candidates.union import Candidates
from ranking.metrics import relevant_at
from ranking.rankers import store_columns
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.knowledge import Knowledge, Whereabouts
from ranking.rankers.store_columns import Vocabulary, as_numbers
from ranking.rankers.trees import standardise
from ranking.types import UNKNOWN, Bools, Floats, IdIndex, Queries

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
        item = self.candidates.item
        return relevant_at(relevant, self.row, item[item != UNKNOWN])

    def scatter(self, scores: Floats) -> Floats:
        """Row scores in the shape of the candidates, float32 [q, k], -inf in the padding."""
        padded = np.full(self.candidates.item.shape, -np.inf, np.float32)
        padded[self.candidates.item != UNKNOWN] = scores
        return padded


def request_rows(candidates: Candidates, queries: Queries, users: IdIndex, items: IdIndex) -> pa.Table:
    """The rows to ask a feature source for: `KEYS`, one a candidate; an anonymous user's id is empty."""
    offered = candidates.item != UNKNOWN
    row = np.nonzero(offered)[0]
    user_ids = np.array([*users.ids, ""], object)  # UNKNOWN is -1: the last
    item_ids = np.array(items.ids, object)
    return pa.table(
        {
            schema.USER_ID: pa.array(user_ids[queries.user[row]], pa.string()),
            schema.ITEM_ID: pa.array(item_ids[candidates.item[offered]], pa.string()),
            schema.EVENT_TIMESTAMP: pa.array(queries.as_of[row], schema.TIMESTAMP),
            REQUESTED_AT: pa.array(queries.at[row], schema.TIMESTAMP),
            schema.DEVICE: pa.array(queries.device[row], pa.string()),
            schema.PLACE: pa.array(queries.place[row], pa.string()),
        }
    )


def describe(
    candidates: Candidates,
    queries: Queries,
    store_rows: pa.Table,
    *,
    close: Mapping[str, Floats],
    knowledge: Knowledge,
    vocabulary: Vocabulary,
) -> Slates:
    """Slates of candidates whose feature-store rows and `closeness` (in the order of `request_rows`) are given."""
    offered = candidates.item != UNKNOWN
    row = np.nonzero(offered)[0]
    groups = offered.sum(axis=1)
    stored = as_numbers(store_rows.drop_columns(list(KEYS)), vocabulary)
    parts = {name: store_columns.part_of(name) for name in stored}
    for name in _RELATIVE:
        if name in stored:
            stored[f"{name}_in_slate"] = _within_slate(stored[name], groups)
            parts[f"{name}_in_slate"] = parts[name]
    found, found_parts = _provenance(candidates, candidates.generators, offered, groups)
    found["fused"], found_parts["fused"] = candidates.fused[offered], Part.BEHAVIOUR
    found["history_length"] = np.diff(queries.indptr)[row].astype(np.float32)
    found_parts["history_length"] = Part.BEHAVIOUR
    near = {f"{name}_in_slate": _within_slate(values, groups) for name, values in sorted(close.items())}
    known, known_parts = knowledge.features(row, candidates.item[offered], queries, store_rows[schema.USER_ID])
    parts |= found_parts | known_parts | dict.fromkeys(near, Part.BEHAVIOUR)
    return Slates(candidates, groups, row, FeatureMatrix.of({**found, **near, **stored, **known}, parts))


def moved(
    slates: Slates, candidates: Candidates, queries: Queries, *, generators: Sequence[str], where: Whereabouts
) -> Slates:
    """The slates where the items lie elsewhere: what goes by their places is told anew.

    candidates: the same ones, as those generators, which go by places, rank them now.
    """
    offered = candidates.item != UNKNOWN
    found, _ = _provenance(candidates, generators, offered, slates.groups)
    told, _ = where.features(slates.row, candidates.item[offered], queries)
    features = slates.features.replaced({**found, **told})
    return Slates(candidates, slates.groups, slates.row, features)


def _provenance(
    candidates: Candidates, generators: Sequence[str], offered: Bools, groups: npt.NDArray[np.int64]
) -> tuple[dict[str, Floats], dict[str, Part]]:
    """Score, standardised score and rank by each of the generators, NaN where it tells none."""
    columns: dict[str, Floats] = {}
    parts: dict[str, Part] = {}
    for name in generators:
        index = candidates.generators.index(name)
        score, rank = candidates.score[offered, index], candidates.rank[offered, index]
        score = np.where(np.isneginf(score), np.nan, score).astype(np.float32)
        mine = {
            f"{name}_score": score,
            f"{name}_score_in_slate": _within_slate(score, groups),
            f"{name}_rank": np.where(rank > 0, rank, np.nan).astype(np.float32),
        }
        columns |= mine
        parts |= dict.fromkeys(mine, _part_of(name))
    return columns, parts


def _part_of(generator: str) -> Part:
    if generator in CONTEXT_GENERATORS:
        return Part.CONTEXT
    return Part.CONTENT if generator in CONTENT_GENERATORS else Part.BEHAVIOUR


def _within_slate(values: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """Standardised within the slate, NaN counted as the slate's zero and left NaN."""
    known = ~np.isnan(values)
    filled = np.where(known, values, 0).astype(np.float64)
    return np.where(known, standardise(filled, groups), np.nan).astype(np.float32)
