"""The union: who is in it, in which order, and who found it."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.candidates.candidates import Source
from ranking.candidates.generator import NOT_OFFERED, Generator
from ranking.candidates.union import RESERVED_VOTE, RRF_K, retrieve, union
from ranking.types import UNKNOWN, Floats, Interactions, Queries

OUT = NOT_OFFERED
EXISTS = np.iinfo(np.int64).min


def table(*rows) -> Floats:
    return np.array(rows, np.float32)


def everything(scores) -> np.ndarray:
    return np.ones(next(iter(scores.values())).shape, bool)


class Fixed(Generator):
    """Scores by the first item of the history, so that every query has its own row."""

    name: ClassVar[str] = "fixed"

    def __init__(self, scores: Floats) -> None:
        self.scores = scores

    def fit(self, train: Interactions) -> Self:
        return self

    def score(self, queries: Queries) -> Floats:
        return self.scores[queries.user]

    def save(self, folder: Path) -> None: ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


class Other(Fixed):
    name: ClassVar[str] = "other"


def queries(histories: list[list[int]], n_items: int, *, as_of: int = 100) -> Queries:
    lengths = [len(history) for history in histories]
    n, flat = len(histories), [item for history in histories for item in history]
    at = np.full(n, as_of, np.int64)
    nothing = np.full(n, None, object)
    return Queries(
        user=np.arange(n, dtype=np.int32),
        at=at,
        as_of=at,
        device=nothing,
        place=nothing,
        indptr=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]),
        item=np.array(flat, np.int32),
        occurred_at=np.zeros(len(flat), np.int64),
        weight=np.ones(len(flat), np.float32),
        positive=np.ones(len(flat), bool),
        n_items=n_items,
    )


def test_items_are_fused_by_reciprocal_rank():
    scores = {"a": table([9, 8, 7, OUT]), "b": table([OUT, 1, 2, OUT])}
    found = union(scores, everything(scores), k=4)
    # places: item 1 at 2 and 2, item 2 at 3 and 1, item 0 at 1; item 3 nowhere
    assert found.item.tolist() == [[2, 1, 0, UNKNOWN]]
    fused = [1 / (RRF_K + 3) + 1 / (RRF_K + 1), 2 / (RRF_K + 2), 1 / (RRF_K + 1), 0]
    np.testing.assert_allclose(found.fused, [fused], rtol=1e-6)


def test_a_candidate_carries_every_generators_rank_and_score():
    scores = {"a": table([9, 8, 7, OUT]), "b": table([OUT, 1, 2, OUT])}
    found = union(scores, everything(scores), k=4)
    assert found.generators == ("a", "b")
    assert found.rank.tolist() == [[[3, 1], [2, 2], [1, 0], [0, 0]]]
    assert found.score.tolist() == [[[7, 2], [8, 1], [9, OUT], [OUT, OUT]]]


def test_sources_name_who_found_a_candidate_best_place_first():
    scores = {"a": table([9, 8, 7, OUT]), "b": table([OUT, 1, 2, OUT])}
    found = union(scores, everything(scores), k=4)
    assert found.sources(0, np.array([2, 0, 3, UNKNOWN])) == [
        [Source("b", 1, 2.0), Source("a", 3, 7.0)],
        [Source("a", 1, 9.0)],
        [],
        [],
    ]
    assert found.sources(0, np.empty(0, np.int32)) == []


def test_a_generator_that_ranks_a_candidate_far_behind_did_not_find_it():
    scores = {"a": table([3, 2, 1]), "b": table([1, 2, 3]), "c": table([3, OUT, OUT])}
    found = union(scores, everything(scores), k=1)
    assert found.item.tolist() == [[0]]
    [sources] = found.sources(0, np.array([0]))
    assert [source.generator for source in sources] == ["a", "c"]
    assert found.rank[0, 0].tolist() == [1, 3, 1]


def test_ranks_count_the_allowed_items_alone():
    scores = {"a": table([9, 8, 7, 6])}
    allowed = np.array([[False, True, False, True]])
    found = union(scores, allowed, k=3)
    assert found.item.tolist() == [[1, 3, UNKNOWN]]
    assert found.rank[:, :, 0].tolist() == [[1, 2, 0]]


def test_a_reserved_generator_has_its_best_in_but_next_to_no_vote():
    scores = {"a": table([9, 8, 7, 6, OUT, OUT]), "cold": table([OUT, OUT, OUT, OUT, 2, 1])}
    plain = union(scores, everything(scores), k=3)
    assert 4 in plain.item[0].tolist()
    found = union(scores, everything(scores), k=3, reserved={"cold": 1})
    assert found.item.tolist() == [[0, 1, 4]]
    assert found.fused[0, 2] == pytest.approx(RESERVED_VOTE / (RRF_K + 1))
    assert union(scores, everything(scores), k=3, reserved={"cold": 0}).item.tolist() == [[0, 1, 2]]


def test_a_reserved_generator_fills_what_the_others_leave_empty():
    scores = {"a": table([OUT, OUT, 7, OUT]), "popular": table([4, 3, 2, 1])}
    found = union(scores, everything(scores), k=4, reserved={"popular": 1})
    assert found.item.tolist() == [[2, 0, 1, 3]]


def test_a_reservation_for_an_absent_generator_changes_nothing():
    scores = {"a": table([1, 2, 3])}
    assert union(scores, everything(scores), k=2, reserved={"b": 2}).item.tolist() == [[2, 1]]


@settings(max_examples=40)
@given(seed=st.integers(0, 999), k=st.integers(1, 12), batch=st.integers(1, 5))
def test_seen_and_unborn_items_are_never_candidates_and_batches_change_nothing(seed, k, batch):
    rng = np.random.default_rng(seed)
    histories = [rng.integers(0, 9, rng.integers(0, 5)).tolist() for _ in range(4)]
    asked = queries(histories, 9)
    created_at = np.where(rng.random(9) < 0.3, 100, np.where(rng.random(9) < 0.5, 99, EXISTS)).astype(np.int64)
    tables = [np.where(rng.random((4, 9)) < 0.3, OUT, rng.normal(size=(4, 9))).astype(np.float32) for _ in "ab"]
    generators = [Fixed(tables[0]), Other(tables[1])]
    allowed = None if rng.random() < 0.3 else rng.random(9) < 0.6
    asking = {"k": k, "created_at": created_at, "reserved": {"other": 2}, "allowed": allowed}
    found = retrieve(generators, asked, **asking, batch=batch)
    whole = retrieve(generators, asked, **asking)
    assert len(found) == 4
    for row, history in enumerate(histories):
        offered = np.isfinite(tables[0][row]) | np.isfinite(tables[1][row])
        offered &= (created_at < 100) & (True if allowed is None else allowed)
        possible = set(np.flatnonzero(offered).tolist()) - set(history)
        items = [item for item in found.item[row].tolist() if item != UNKNOWN]
        assert set(items) <= possible
        assert len(items) == len(set(items)) == min(k, len(possible))
        assert all(found.sources(row, np.array(items, np.int32))) or k < 9
    for name in ("item", "fused", "rank", "score"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    assert (found.item.dtype, found.rank.dtype) == (np.int32, np.int32)
    assert (found.fused.dtype, found.score.dtype) == (np.float32, np.float32)


def test_no_query_gives_no_candidates():
    nobody = replace(queries([], 3))
    found = retrieve([Fixed(np.empty((0, 3), np.float32))], nobody, k=2, created_at=np.full(3, EXISTS))
    assert found.item.shape == (0, 2)
    assert found.rank.shape == (0, 2, 1)
