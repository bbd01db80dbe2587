"""From a split's and a model's arrays to the rows of the warehouse's tables: codes become ids here."""

import re
from typing import Final

import numpy as np
import pyarrow as pa

from feature_repo import schema
from ranking.metrics import diversity, hits_of, relevant_at
from ranking.splits import Split
from ranking.types import UNKNOWN, Bools, Codes, Floats, IdIndex, Interactions, Times

TOP: Final = 200  # ranks that are stored; the deepest metric is recall@200
MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]*")  # it names a file of the export


def events_of(split: Split) -> pa.Table:
    """Training and held-out events: user_id, item_id, occurred_at, relevant, part (train or test)."""
    test = split.test
    row = np.searchsorted(split.queries.user, test.user)
    relevant = relevant_at(split.relevant, row, test.item)
    return pa.concat_tables(
        [_events(split.train, np.zeros(len(split.train), bool), "train"), _events(test, relevant, "test")]
    )


def queries_of(split: Split) -> pa.Table:
    """Evaluated users: user_id, asked_at, history (number of training interactions)."""
    queries = split.queries
    return pa.table(
        {
            schema.USER_ID: _named(queries.user, split.train.users),
            "asked_at": _moments(queries.at),
            "history": np.diff(queries.indptr),
        }
    )


def rankings_of(split: Split, items: Codes, scores: Floats) -> pa.Table:
    """Recommended items of each query: user_id, item_id, rank (from 1), score; fillings left out."""
    row, column = np.nonzero(items != UNKNOWN)
    return pa.table(
        {
            schema.USER_ID: _named(split.queries.user[row], split.train.users),
            schema.ITEM_ID: _named(items[row, column], split.train.items),
            "rank": (column + 1).astype(np.int32),
            "score": scores[row, column].astype(np.float32),
        }
    )


def candidates_of(split: Split, items: Codes) -> pa.Table:
    """Distinct candidates of each query: user_id, item_id; fillings left out."""
    row, column = np.nonzero(items != UNKNOWN)
    pair = np.unique(row.astype(np.int64) * len(split.train.items) + items[row, column])
    row, item = np.divmod(pair, len(split.train.items))
    return pa.table(
        {
            schema.USER_ID: _named(split.queries.user[row], split.train.users),
            schema.ITEM_ID: _named(item.astype(np.int32), split.train.items),
        }
    )


def diversities_of(split: Split, items: Codes, vectors: Floats | None, *, k: int) -> pa.Table:
    """Diversity@k of each query: user_id, value, which is null where there is none or no vectors are known."""
    unknown = np.full(len(items), np.nan)
    value = unknown if vectors is None else diversity(items, vectors, k)
    named = _named(split.queries.user, split.train.users)
    return pa.table({schema.USER_ID: named, "value": pa.array(value, pa.float64(), from_pandas=True)})


def check_rankings(split: Split, model: str, items: Codes, scores: Floats) -> None:
    """Raise ValueError for rankings that would be measured wrongly."""
    if not MODEL_NAME.fullmatch(model):
        raise ValueError(f"model {model!r}: accepted are letters, digits and _ . @ - as the name becomes a file's")
    queries, n_items = len(split.queries), len(split.train.items)
    deep = min(TOP, n_items)
    if items.shape != scores.shape or items.shape[0] != queries or items.shape[1] < deep:
        raise ValueError(
            f"model {model}: items {items.shape} and scores {scores.shape}; expected [{queries}, {deep} or more]"
        )
    seen = hits_of(items, split.queries.matrix().astype(bool))
    if seen.any():
        row, column = np.argwhere(seen)[0]
        raise ValueError(
            f"model {model}: query {row} is recommended item {items[row, column]} of its own history; mask seen items"
        )
    in_order = np.sort(items, axis=1)
    if ((in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] != UNKNOWN)).any():
        raise ValueError(f"model {model}: a query is recommended one item twice; rank each item once")


def _events(log: Interactions, relevant: Bools, part: str) -> pa.Table:
    return pa.table(
        {
            schema.USER_ID: _named(log.user, log.users),
            schema.ITEM_ID: _named(log.item, log.items),
            schema.OCCURRED_AT: _moments(log.occurred_at),
            "relevant": relevant,
            "part": pa.repeat(part, len(log)),
        }
    )


def _named(codes: Codes, index: IdIndex) -> pa.Array:
    return pa.array(index.ids, pa.string()).take(pa.array(codes))


def _moments(times: Times) -> pa.Array:
    return pa.array(times).cast(schema.TIMESTAMP)
