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
from feature_repo.columns import Column, table_of
from feature_repo.transforms import REQUESTED_AT
from ranking.candidates.union import Candidates
from ranking.metrics import relevant_at
from ranking.rankers import store_columns
from ranking.rankers.features import FeatureMatrix, Part
from ranking.rankers.knowledge import Knowledge, Whereabouts
from ranking.rankers.standardised import standardise
from ranking.rankers.store_columns import Vocabulary, as_numbers
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
IN_SLATE: Final = "_in_slate"  # ends the name of a column that is standardised within the slate
AT_ONCE: Final = 500  # slates that are standardised at one time
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
    columns = {
        schema.USER_ID: Column(users.arrow(queries.user), row),
        schema.ITEM_ID: Column(items.arrow(candidates.item[offered])),
        schema.EVENT_TIMESTAMP: Column(pa.array(queries.as_of).view(schema.TIMESTAMP), row),
        REQUESTED_AT: Column(pa.array(queries.at).view(schema.TIMESTAMP), row),
        schema.DEVICE: Column(pa.array(queries.device, pa.string()), row),
        schema.PLACE: Column(pa.array(queries.place, pa.string()), row),
    }
    return table_of(columns)


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
            stored[name + IN_SLATE] = stored[name]
            parts[name + IN_SLATE] = parts[name]
    found, found_parts = _provenance(candidates, candidates.generators, offered)
    found["fused"], found_parts["fused"] = candidates.fused[offered], Part.BEHAVIOUR
    found["history_length"] = np.diff(queries.indptr)[row].astype(np.float32)
    found_parts["history_length"] = Part.BEHAVIOUR
    near = {name + IN_SLATE: values for name, values in sorted(close.items())}
    known, known_parts = knowledge.features(row, candidates.item[offered], queries, store_rows[schema.USER_ID])
    parts |= found_parts | known_parts | dict.fromkeys(near, Part.BEHAVIOUR)
    features = FeatureMatrix.of({**found, **near, **stored, **known}, parts)
    return Slates(candidates, groups, row, _in_slates(features, groups))


def moved(
    slates: Slates, candidates: Candidates, queries: Queries, *, generators: Sequence[str], where: Whereabouts
) -> Slates:
    """The slates where the items lie elsewhere: what goes by their places is told anew.

    candidates: the same ones, as those generators, which go by places, rank them now.
    """
    offered = candidates.item != UNKNOWN
    found, parts = _provenance(candidates, generators, offered)
    told, _ = where.features(slates.row, candidates.item[offered], queries)
    here = _in_slates(FeatureMatrix.of(found, parts), slates.groups)
    features = slates.features.replaced({**dict(zip(here.names, here.values.T, strict=True)), **told})
    return Slates(candidates, slates.groups, slates.row, features)


def _provenance(
    candidates: Candidates, generators: Sequence[str], offered: Bools
) -> tuple[dict[str, Floats], dict[str, Part]]:
    """Score, twice (`_in_slates`), and rank by each of the generators, NaN where it tells none."""
    columns: dict[str, Floats] = {}
    parts: dict[str, Part] = {}
    scores, ranks = candidates.score[offered].T.copy(), candidates.rank[offered].T.astype(np.float32)  # [g, n]
    scores[np.isneginf(scores)] = np.nan
    ranks[ranks == 0] = np.nan
    for name in generators:
        index = candidates.generators.index(name)
        mine = {
            f"{name}_score": scores[index],
            f"{name}_score{IN_SLATE}": scores[index],
            f"{name}_rank": ranks[index],
        }
        columns |= mine
        parts |= dict.fromkeys(mine, _part_of(name))
    return columns, parts


def _part_of(generator: str) -> Part:
    if generator in CONTEXT_GENERATORS:
        return Part.CONTEXT
    return Part.CONTENT if generator in CONTENT_GENERATORS else Part.BEHAVIOUR


def _in_slates(features: FeatureMatrix, groups: npt.NDArray[np.int64]) -> FeatureMatrix:
    """With the columns whose names end so standardised within the slate; NaN counts as 0 there and stays NaN."""
    columns = [column for column, name in enumerate(features.names) if name.endswith(IN_SLATE)]
    ends = np.cumsum(groups)
    for first in range(0, len(groups), AT_ONCE):
        some = groups[first : first + AT_ONCE]
        rows = slice(int(ends[first] - groups[first]), int(ends[first : first + AT_ONCE][-1]))
        given = features.values[rows, columns]
        known = ~np.isnan(given)
        placed = standardise(np.where(known, given, 0).astype(np.float64), some)
        features.values[rows, columns] = np.where(known, placed, np.nan)
    return features
