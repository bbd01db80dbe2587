"""Trials on disk: a search that was interrupted, killed or damaged goes on, or says in a line why not."""

import itertools
import json
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from ranking.errors import TuningError
from ranking.strategy.space import Choice, Space, Span
from ranking.strategy.study import Budget, Journal, Params, Study
from ranking.strategy.tuning import clearly_better, halves_of
from tests.processes import kill, start


class Plain:
    """Stands for a configuration: only points are looked at here."""


SPACE: Space[object] = Space(Plain(), {"x": Span(0, 1), "kind": Choice(("a", "b", "c"))})
FIRST: list[Params] = [{"x": 0.25, "kind": "a"}, {"x": 0.75, "kind": "c"}]


def first(study: Study) -> Params | None:
    tried = [one.params for one in study.tried()]
    return next((one for one in FIRST if one not in tried), None)


def climb(study: Study, trials: int) -> None:
    for _ in range(trials):
        trial = study.ask(first(study))
        params = SPACE.suggest(trial)
        study.tell(trial, [float(params["x"] or 0), 0.5])


def points(path: Path, name: str = "hill") -> list[Params]:
    return [one.params for one in Journal(path).study(name).finished()]


def test_a_further_search_goes_on_with_the_numbers_and_proposals_of_one_that_never_ended(tmp_path: Path) -> None:
    climb(Journal(tmp_path / "whole.jsonl").study("hill"), 12)
    for trials in (1, 4, 7):
        climb(Journal(tmp_path / "parts.jsonl").study("hill"), trials)
    assert points(tmp_path / "parts.jsonl") == points(tmp_path / "whole.jsonl")
    numbers = [one.number for one in Journal(tmp_path / "parts.jsonl").study("hill").attempts()]
    assert numbers == list(range(12))
    assert points(tmp_path / "parts.jsonl")[:2] == FIRST
    assert len({one["x"] for one in points(tmp_path / "parts.jsonl")}) == 12  # and every proposal is a new one


def test_studies_of_one_file_do_not_mix(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "trials.jsonl")
    climb(journal.study("hill"), 3)
    climb(journal.study("dale"), 1)
    assert Journal(tmp_path / "trials.jsonl").names() == ["hill", "dale"]
    assert [len(points(tmp_path / "trials.jsonl", name)) for name in ("hill", "dale")] == [3, 1]


def test_a_trial_that_was_given_up_or_lost_has_no_value_and_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    study = Journal(path).study("hill")
    SPACE.suggest(study.ask(first(study)))  # and here it was killed
    again = Journal(path).study("hill")
    climb(again, 1)
    study_end = again.ask(first(again))
    SPACE.suggest(study_end)
    again.give_up(study_end)
    attempts = Journal(path).study("hill").attempts()
    assert [one.state for one in attempts] == ["fail", "complete", "pruned"]
    assert [one.value for one in attempts] == [None, pytest.approx(0.375), None]
    assert points(path) == FIRST[:1]  # the first point was tried again
    assert attempts[1].started_at is not None and attempts[1].started_at.tzinfo is not None


def _climb_for_ever(path: Path, _: Connection) -> None:
    climb(Journal(path).study("hill"), 10_000)


def _wait_for(path: Path, finished: int) -> None:
    while not path.exists() or path.read_text().count('"state":1') < finished:
        time.sleep(0.01)


def test_a_kill_at_any_moment_loses_at_most_the_trial_at_work(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    for finished in (2, 5):
        process, _ = start(_climb_for_ever, path)
        _wait_for(path, finished)
        kill(process)
        told = path.read_text().count('"state":1')
        assert len(points(path)) in (told, told - 1)  # the last one may be half written
        assert len(points(path)) >= finished
    climb(Journal(path).study("hill"), 1)
    assert "running" not in [one.state for one in Journal(path).study("hill").attempts()]


def test_a_last_line_that_was_cut_off_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "trials.jsonl"
    climb(Journal(path).study("hill"), 3)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert len(points(path)) == 2
    assert "cut off" in caplog.text
    climb(Journal(path).study("hill"), 1)
    assert len(points(path)) == 3


@pytest.mark.parametrize("line", ["{", "[1]", "\x00\x00", "", '"op_code"'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "trials.jsonl"
    climb(Journal(path).study("hill"), 2)
    lines = path.read_text().splitlines()
    lines[4] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(TuningError, match=r"trials.jsonl: line 5 is damaged; cut the file off before it"):
        Journal(path)
    path.write_text("\n".join(lines[:4]) + "\n")  # as it says
    climb(Journal(path).study("hill"), 1)


@pytest.mark.parametrize("record", [{"title": "x"}, {"op_code": 99, "worker_id": "a"}, {"op_code": 0}])
def test_json_lines_of_something_else_are_no_journal(tmp_path: Path, record: dict[str, object]) -> None:
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps(record) + "\n")
    with pytest.raises(TuningError, match="no journal of trials"):
        Journal(path)


def test_a_journal_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TuningError, match="cannot be written"):
        Journal(tmp_path / "no" / "such" / "folder" / "trials.jsonl")
    with pytest.raises(TuningError, match="cannot be written"):
        Journal(tmp_path)


def test_a_budget_is_spent_when_its_minutes_are_over() -> None:
    ticks = itertools.count(0, 30)
    budget = Budget.of(2, lambda: float(next(ticks)))  # asked at 0, then at 30, 60, ...
    assert [budget.spent for _ in range(5)] == [False, False, False, True, True]


def test_clearly_better_is_better_on_every_part_and_by_a_margin() -> None:
    assert clearly_better([0.11, 0.11], [0.10, 0.10])
    assert not clearly_better([0.101, 0.101], [0.10, 0.10])  # within the noise
    assert not clearly_better([0.30, 0.09], [0.10, 0.10])  # on one part alone
    assert not clearly_better([0.0, 0.0], [0.0, 0.0])


def test_halves_cover_all_queries_and_a_single_query_is_one_half() -> None:
    values = np.arange(10.0)
    first, second = halves_of(values)
    assert first + second == pytest.approx(2 * values.mean())
    assert halves_of(values) == halves_of(values)
    assert halves_of(np.array([0.5])) == (0.5,)
