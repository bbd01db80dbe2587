"""What recommendations may be."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo import schema
from validation.expectations import between, equal, finite, not_null, one_of, rows, unique
from validation.suite import Suite, ids

RANK: Final = "rank"
SCORE: Final = "score"
SEEN: Final = "seen"
LIST_OF: Final = ("protocol", "model", schema.USER_ID)
_PLACE: Final = "place_in_list"
_RISES: Final = "score_rises"


def suite(*, k: int, list_of: Sequence[str] = LIST_OF) -> Suite:
    """Lists of at most `k` items: ranks 1, 2, ... without a gap, no item twice, none seen, scores that never rise.

    Columns: `list_of`, which tell one list from another; item_id, rank, score; seen (bool), whether the user had
    interacted with the item before. The order of rows does not matter.
    """
    return Suite(
        "recommendations",
        (*list_of, schema.ITEM_ID, RANK, SCORE, SEEN),
        [
            rows(1),
            *ids(*list_of, schema.ITEM_ID),
            unique(*list_of, schema.ITEM_ID),
            between(RANK, 1, k),
            equal(RANK, _PLACE),
            not_null(SCORE),
            finite(SCORE),
            one_of(_RISES, [False]),
            not_null(SEEN),
            one_of(SEEN, [False]),
        ],
        lambda rankings: _measured(rankings, list_of),
    )


def _measured(rankings: pa.Table, list_of: Sequence[str]) -> pa.Table:
    """The rankings by list and rank, with the place in the list (from 1) and whether the score tops the one before."""
    rankings = rankings.sort_by([(column, "ascending") for column in (*list_of, RANK)])
    first = np.zeros(len(rankings), bool)  # of its list
    first[:1] = True
    for column in list_of:
        codes = rankings[column].combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
        first[1:] |= codes[1:] != codes[:-1]
    row = np.arange(len(rankings))
    place = row - np.maximum.accumulate(np.where(first, row, 0)) + 1
    score = rankings[SCORE].to_numpy()
    rises = ~first
    rises[1:] &= score[1:] > score[:-1]
    return rankings.append_column(_PLACE, pa.array(place)).append_column(_RISES, pa.array(rises))
