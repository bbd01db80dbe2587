"""What each generator gives to the union, on hand-made places; and who is left a vote."""

from pathlib import Path
from typing import ClassVar, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from ranking.candidates.generator import NOT_OFFERED, Generator, top_k
from ranking.candidates.looks import Look
from ranking.candidates.reach import BUDGETS, UNION, Gift, Survey
from ranking.candidates.shortlist import ShortlistConfig
from ranking.candidates.union import fuse, retrieve
from ranking.candidates.votes import MIN_ASKED, choose_votes
from ranking.types import UNKNOWN, Floats, Interactions, Queries

OUT = NOT_OFFERED
EXISTS = np.iinfo(np.int64).min


class Fixed(Generator):
    """Scores by the query's user."""

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


class Third(Fixed):
    name: ClassVar[str] = "third"


def queries(histories: list[list[int]], n_items: int) -> Queries:
    lengths, flat = [len(history) for history in histories], [item for history in histories for item in history]
    at = np.full(len(histories), 100, np.int64)
    nothing = np.full(len(histories), None, object)
    return Queries(
        user=np.arange(len(histories), dtype=np.int32),
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


def wanted(*rows) -> sparse.csr_matrix:
    return sparse.csr_matrix(np.array(rows, bool))


def survey_of(scores, relevant, *, k, reserved=None, counts=None, batch=None):
    shape = next(iter(scores.values())).shape
    survey = Survey(relevant, np.ones(shape[0], bool) if counts is None else np.array(counts), k=k)
    for start in range(0, shape[0], batch or shape[0]):
        rows = np.arange(start, min(start + (batch or shape[0]), shape[0]))
        look = Look.of({name: one[rows] for name, one in scores.items()}, np.ones((len(rows), shape[1]), bool))
        survey.watch(rows, dict(zip(look.generators, look.places, strict=True)), reserved or {})
    return survey.reach()


def hand_made():
    """Two queries over five items, two candidates each; item 4 is known to b alone."""
    a = np.array([[9, 8, 7, OUT, OUT], [9, 8, 7, 6, OUT]], np.float32)
    b = np.array([[OUT, 8, OUT, OUT, 9], [OUT, OUT, 9, 8, OUT]], np.float32)
    return {"a": a, "b": b}, wanted([1, 0, 0, 0, 1], [0, 0, 1, 0, 0])


def test_the_gifts_of_a_hand_made_world():
    scores, relevant = hand_made()
    reach = survey_of(scores, relevant, k=2)
    # union: query 0 fuses item 1 (places 2, 2), then 0 or 4 (first place once): 0, the lower code; query 1: 2 (3, 1), 3
    # alone: a finds item 0 of query 0 (1/2) and nothing of query 1; b finds item 4 (1/2) and item 2 (1)
    assert reach.queries == 2
    assert reach.by_budget[UNION][25] == 1
    assert reach.gifts["a"].recall == pytest.approx(0.25)
    assert reach.gifts["b"].recall == pytest.approx(0.75)
    # together 1/2 and 1; without a: b's 1/2 and 1; without b: a's 1/2 and 0
    assert reach.gifts["a"].marginal == pytest.approx(0)
    assert reach.gifts["b"].marginal == pytest.approx(0.5)
    # found are item 0 (a places it first, b does not have it) and item 2 (b first, a third: not among its two)
    assert reach.gifts["a"] == Gift(pytest.approx(0.25), pytest.approx(0), 1, 0.5)
    assert reach.gifts["b"] == Gift(pytest.approx(0.75), pytest.approx(0.5), 1, 0.5)


def test_queries_without_a_history_or_anything_relevant_do_not_count():
    scores, _ = hand_made()
    assert survey_of(scores, wanted([1, 0, 0, 0, 1], [0] * 5), k=2).queries == 1
    assert survey_of(scores, wanted([1, 0, 0, 0, 1], [1] * 5), k=2, counts=[True, False]).queries == 1
    nothing = survey_of(scores, wanted([0] * 5, [0] * 5), k=2)
    assert nothing.queries == 0
    assert nothing.gifts["a"] == Gift(0, 0, 0, 0)


@settings(max_examples=30)
@given(seed=st.integers(0, 999), k=st.integers(1, 8), batch=st.integers(1, 4), places=st.integers(0, 3))
def test_reach_is_what_unions_with_and_without_each_generator_hold(seed, k, batch, places):
    draw = np.random.default_rng(seed)
    scores = {
        name: np.where(draw.random((4, 9)) < 0.3, OUT, draw.normal(size=(4, 9))).astype(np.float32) for name in "abc"
    }
    relevant = draw.random((4, 9)) < 0.4
    reserved = {"c": places}

    def recall(some, size, kept):
        if not some:
            return 0.0
        there = Look.of(some, np.ones((4, 9), bool))
        codes, _ = top_k(fuse(there.generators, there.places, kept)[1], size)
        shares = [
            np.isin(np.flatnonzero(mine), row[row != UNKNOWN]).mean()
            for mine, row in zip(relevant, codes, strict=True)
            if mine.any()
        ]
        return float(np.mean(shares)) if shares else 0.0

    reach = survey_of(scores, wanted(*relevant), k=k, reserved=reserved, batch=batch)
    whole = recall(scores, k, reserved)
    for name in scores:
        others = {other: one for other, one in scores.items() if other != name}
        assert reach.gifts[name].marginal == pytest.approx(whole - recall(others, k, reserved), abs=1e-6)
        assert reach.gifts[name].recall == pytest.approx(recall({name: scores[name]}, k, {}), abs=1e-6)
    assert reach.by_budget[UNION][BUDGETS[-1]] == pytest.approx(
        recall(scores, BUDGETS[-1], {"c": round(places * BUDGETS[-1] / k)}), abs=1e-6
    )


def test_retrieving_shows_every_row_once_with_its_places():
    scores = np.array([[3, 2, 1], [1, 2, 3], [1, 3, 2]], np.float32)
    seen = []
    retrieve(
        [Fixed(scores)],
        queries([[0], [1], []], 3),
        k=2,
        created_at=np.full(3, EXISTS),
        reserved={"other": 1},
        watch=lambda rows, places, reserved, items: seen.append(
            (rows.tolist(), places["fixed"].tolist(), dict(reserved))
        ),
        batch=2,
    )
    assert seen == [([0, 1], [[0, 1, 2], [2, 0, 1]], {"other": 1}), ([2], [[3, 1, 2]], {"other": 1})]


# votes


def voting_world(n: int = MIN_ASKED, n_items: int = 40):
    """Of `fixed` and `other` each finds one of the two relevant items; `third` loudly prefers what is not relevant."""
    draw = np.random.default_rng(0)
    relevant = np.zeros((n, n_items), bool)
    relevant[:, :2] = True
    scores = np.full((3, n, n_items), OUT, np.float32)
    for row in range(n):
        for finder in (0, 1):
            scores[finder, row, draw.choice(np.arange(2, n_items), 3, replace=False)] = [3, 2, 1]
            scores[finder, row, finder] = 9
        scores[2, row, 2:] = draw.normal(size=n_items - 2)
    generators = [Fixed(scores[0]), Other(scores[1]), Third(scores[2])]
    return generators, queries([[n_items - 1]] * n, n_items), wanted(*relevant), np.full(n_items, EXISTS)


def votes(generators, asked, relevant, created_at, reserved):
    config = ShortlistConfig()
    return choose_votes(generators, asked, relevant, k=4, created_at=created_at, reserved=reserved, config=config)


def test_who_harms_the_union_is_silenced():
    generators, asked, relevant, created_at = voting_world()
    chosen = votes(generators, asked, relevant, created_at, {})
    assert chosen == {"third": 0}
    again = votes(generators, asked, relevant, created_at, {"third": 0})
    assert again == chosen


def test_reserved_places_are_kept_whatever_they_bring():
    generators, asked, relevant, created_at = voting_world()
    chosen = votes(generators, asked, relevant, created_at, {"third": 1})
    assert chosen == {"third": 1}


def test_too_few_queries_choose_nothing():
    generators, asked, relevant, created_at = voting_world(MIN_ASKED - 1)
    reserved = {"other": 3, "third": 0}
    assert votes(generators, asked, relevant, created_at, reserved) == reserved
