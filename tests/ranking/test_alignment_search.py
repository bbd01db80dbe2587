"""The search keeps to its budget, goes on where it ended, and keeps the default unless something is better."""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import ItemContent
from ranking.strategy.alignment_search import DEFAULT, DIMENSIONS, Fold, fingerprint, hidden_items, search
from ranking.strategy.space import Space
from ranking.types import Interactions

SMALL = AlignmentConfig(batch=16)


def steps_of_training(n: int) -> tuple[float, Callable[[], float]]:
    """Minutes and a clock by which about `n` steps of training can be done."""
    ticks = itertools.count()
    return n / 60, lambda: float(next(ticks))


def states(journal: Path) -> list[int]:
    """States of the trials that were told, in Optuna's numbers: 1 finished, 2 given up."""
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return [line["state"] for line in lines if line.get("state", 0) in (1, 2)]


def test_a_search_keeps_to_its_budget_and_goes_on_where_it_ended(checkerboard, tmp_path: Path) -> None:
    journal = tmp_path / "trials.jsonl"
    told: list[tuple[int, float]] = []
    minutes, clock = steps_of_training(500)  # two alignments of 240 steps, and a little
    content, log = checkerboard.content, checkerboard.log
    first = search(content, log, journal, minutes=minutes, base=SMALL, clock=clock, told=lambda *one: told.append(one))
    assert first is not None
    assert first.trials == 1
    assert first.config == SMALL
    assert first.default == first.best
    assert told == [(1, pytest.approx(np.mean(first.default)))]
    assert states(journal) == [1, 2]  # the second one was given up
    minutes, clock = steps_of_training(600)
    again = search(content, log, journal, minutes=minutes, base=SMALL, clock=clock)
    assert again is not None
    assert len(states(journal)) > 2
    assert again.default == first.default
    if again.config == SMALL:
        assert again.best == again.default
    else:
        assert all(np.array(again.best) > np.array(again.default))
        assert np.mean(again.best) > 1.02 * np.mean(again.default)


def test_what_is_not_searched_is_taken_from_the_base_and_the_default_is_the_recipes() -> None:
    assert Space(SMALL, DIMENSIONS).config(DEFAULT) == SMALL
    assert Space(AlignmentConfig(dim=4, batch=16), DIMENSIONS).config(DEFAULT) == SMALL


def test_without_time_or_anybody_to_ask_nothing_is_found(checkerboard, tmp_path: Path) -> None:
    content, log = checkerboard.content, checkerboard.log
    minutes, clock = steps_of_training(20)
    assert search(content, log, tmp_path / "trials.jsonl", minutes=minutes, base=SMALL, clock=clock) is None
    nobody = replace(log, positive=np.zeros(len(log), bool))
    assert search(content, nobody, tmp_path / "trials.jsonl", minutes=1) is None


def test_hidden_items_are_disjoint_and_their_likes_are_not_learned_from(checkerboard) -> None:
    content: ItemContent = checkerboard.content
    log: Interactions = checkerboard.log
    one, other = hidden_items(log, seed=0)
    assert len(one) == len(other) == round(0.2 * len(np.unique(log.item)))
    assert not set(one) & set(other)
    fold = Fold.of(content, log, one)
    assert fold is not None
    assert not np.isin(fold.train.item, one).any()
    assert fold.relevant.any(axis=1).all()
    np.testing.assert_allclose(fold.closed.mean(axis=1), 0, atol=1e-5)


def test_trials_of_other_data_do_not_count(checkerboard) -> None:
    content, log = checkerboard.content, checkerboard.log
    assert fingerprint(content, log, SMALL) == fingerprint(content, log, SMALL)
    assert fingerprint(content, log, SMALL) != fingerprint(content, log, AlignmentConfig())
    fewer = log.where(np.arange(len(log)) > 0)
    assert fingerprint(content, log, SMALL) != fingerprint(content, fewer, SMALL)
    changed = {name: x + np.float32(1) for name, x in content.vectors.items()}
    assert fingerprint(content, log, SMALL) != fingerprint(replace(content, vectors=changed), log, SMALL)
