"""The search of models gives all the same number of trials, begins with the grids, and stops when it is told to."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from ranking.candidates.ease import Ease, EaseConfig
from ranking.candidates.generator import Generator
from ranking.candidates.history import Feedback, Memory
from ranking.evaluation.trials import attempts_of, trials_of, winner_of
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.blend import BlendConfig
from ranking.splits import Protocol, Split, split
from ranking.strategy import grids
from ranking.strategy.fit import Window, vocabulary_of
from ranking.strategy.grids import TUNERS
from ranking.strategy.model_search import TRIALS, model_entrants, searched_trials, study_names, window_digest
from ranking.strategy.ranker_search import chosen_ranker, ranker_entrant, study_prefix
from ranking.strategy.search_spaces import RANKER, SEQUENTIAL, SPACES
from ranking.strategy.space import THERE, Choice, Space, Span
from ranking.strategy.study import Budget, Journal, Params
from ranking.strategy.tuned import tune_models
from ranking.strategy.tuning import STEPS, Trial, best_of
from ranking.strategy.turns import Entrant, take_turns

ENDLESS = Budget.of(60)
QUICK = ("popular", "popular_windowed", "item_knn", "ease", "covisitation")


@pytest.fixture(scope="module")
def validation(checkerboard) -> Split:
    return split(checkerboard.log, Protocol.P2)


def entrants_of(path: Path, validation: Split, recipe: int = 1) -> list[Entrant]:
    names = study_names(Protocol.P2, validation, recipe=recipe)
    return [one for one in model_entrants(Journal(path), names, validation) if one.name in QUICK]


def turns(n: int) -> Budget:
    """A budget that is asked once before each trial, and is spent after `n` of them."""
    ticks = itertools.count()
    return Budget(n, lambda: float(next(ticks)))


def counts(entrants: list[Entrant]) -> dict[str, int]:
    return {one.name: len(one.study.finished()) for one in entrants}


# spaces


def test_every_tuned_model_has_a_space_that_holds_its_grid_and_what_lies_around_it() -> None:
    assert set(SPACES) == set(TUNERS)
    assert set(SEQUENTIAL) == set(grids.SEQUENTIAL)
    for name, model in {**SPACES, **SEQUENTIAL}.items():
        for favourite in (0, 5, 7):  # wherever the grid's best lies, and whether or not a step from it is better
            tried: list[tuple[Params, float]] = []
            while (point := model.first(tried, TRIALS)) is not None:
                assert model.make(point).name == name
                assert point not in [params for params, _ in tried]
                tried.append((point, float(len(tried) if len(tried) >= favourite else 0)))
            assert len(tried) >= (2 if name == "popular" else TRIALS)
    tried = []
    while (point := SPACES["ease"].first(tried, TRIALS)) is not None:
        tried.append((point, -float(len(tried))))
    eases = [SPACES["ease"].space.config(params) for params, _ in tried]
    doubled, halved = replace(grids.EASE[0], l2=600), replace(grids.EASE[0], l2=150)
    assert eases == [*grids.EASE[: TRIALS - STEPS], doubled, halved, *grids.EASE[TRIALS - STEPS :]]


@pytest.mark.parametrize("name", [*SPACES, "ranker"])
@settings(max_examples=30)
@given(data=st.data())
def test_a_point_and_its_configuration_say_the_same(name: str, data: st.DataObject) -> None:
    space: Space[object] = SPACES[name].space if name in SPACES else Space(RANKER.plain, RANKER.dimensions)
    params: Params = {}
    for dimension, one in space.dimensions.items():
        if isinstance(one, Choice):
            params[dimension] = data.draw(st.sampled_from(one.values))
        elif one.optional and not data.draw(st.booleans()):
            params[dimension + THERE] = False
        else:
            number = st.integers(int(one.low), int(one.high)) if one.whole else st.floats(one.low, one.high)
            params |= {dimension: data.draw(number)} | ({dimension + THERE: True} if one.optional else {})
    assert space.params(space.config(params)) == params
    assert space.suggest(FixedTrial(params)) == params  # type: ignore[arg-type]  # it stands for a trial of a study


def test_what_lies_outside_of_a_space_is_refused() -> None:
    space = Space(EaseConfig(), {"l2": Span(10, 100)})
    assert space.size is None
    with pytest.raises(ValueError, match="l2 is 300"):
        space.params(EaseConfig(l2=300))
    with pytest.raises(ValueError, match="fields that are not searched"):
        space.params(EaseConfig(l2=50, min_events=7))
    assert Space(EaseConfig(), {"l2": Choice((1.0, 2.0)), "min_events": Choice((1, 2, 3))}).size == 6


# turns


@settings(max_examples=15)
@given(parts=st.lists(st.integers(1, 25), min_size=1, max_size=3))
def test_whenever_it_stops_no_model_has_had_more_trials_than_another(
    parts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    journal = Journal(tmp_path_factory.mktemp("turns") / "trials.jsonl")
    space: Space[object] = Space(EaseConfig(), {"l2": Span(1, 10)})
    few: Space[object] = Space(EaseConfig(), {"l2": Choice((1.0, 2.0))})
    same = (np.array([0.1, 0.2]), 0.0, 0.0)

    def entrant(name: str, space: Space[object]) -> Entrant:
        return Entrant(name, journal.study(f"p2/{name}/0"), space, lambda tried: None, 0, lambda params: same)

    entrants = [entrant("one", space), entrant("two", space), entrant("few", few), entrant("three", space)]
    for part in parts:
        take_turns(entrants, turns(part))
        found = counts(entrants)
        tried = {repr(one.params) for one in entrants[2].study.finished()}
        without = [found[name] for name in ("one", "two", "three")]
        assert max(without) - min(without) <= 1
        assert found["few"] <= max(without) or len(tried) == 2
    assert sum(counts(entrants).values()) == sum(parts)  # and the budget is honoured to the trial


def test_first_come_the_trials_that_every_home_makes(validation: Split, tmp_path: Path) -> None:
    entrants = entrants_of(tmp_path / "trials.jsonl", validation)
    take_turns(entrants, turns(2 + (TRIALS + 2) * (len(QUICK) - 1)))
    for one in entrants:
        by_grid = TUNERS[one.name](validation, TRIALS).trials
        assert [trial.config for trial in one.trials()[:TRIALS]] == [trial.config for trial in by_grid]
        assert [trial.ndcg for trial in one.trials()[:TRIALS]] == pytest.approx([trial.ndcg for trial in by_grid])
        assert [trial.searched for trial in one.trials()] == ([False] * TRIALS + [True] * 2)[: len(one.trials())]


def test_beyond_the_grids_every_model_can_be_searched_and_counts_alike(validation: Split, tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    others = len(QUICK) - 1  # all but popular, which has two configurations
    assert searched_trials([]) == {}
    take_turns(entrants_of(path, validation), turns(2 + (TRIALS - 1) * others))
    assert searched_trials(entrants_of(path, validation)) == {}  # less than every home tries
    take_turns(entrants_of(path, validation), turns(4 * others + 3))
    found = searched_trials(entrants_of(path, validation))
    assert {name: len(trials) for name, trials in found.items()} == {
        name: 2 if name == "popular" else TRIALS + 3 for name in QUICK
    }
    assert [trial.searched for trial in found["ease"]] == [False] * TRIALS + [True] * 3
    assert sum(counts(entrants_of(path, validation)).values()) == 2 + (TRIALS + 3) * others + 3


def test_trials_of_other_data_or_code_do_not_count(checkerboard, validation: Split, tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    take_turns(entrants_of(path, validation), turns(10))
    fewer = split(checkerboard.log.where(np.arange(len(checkerboard.log)) > 0), Protocol.P2)
    assert window_digest(fewer) != window_digest(validation)
    asked_earlier = replace(validation, queries=replace(validation.queries, as_of=validation.queries.as_of - 1))
    assert window_digest(asked_earlier) != window_digest(validation)
    assert not any(counts(entrants_of(path, fewer)).values())
    assert not any(counts(entrants_of(path, validation, recipe=2)).values())
    assert sum(counts(entrants_of(path, validation)).values()) == 10
    names = {study_names(one, validation, recipe=1)["ease"] for one in Protocol}
    assert len(names) == len(Protocol)


def test_a_user_who_ends_it_keeps_what_was_finished(validation: Split, tmp_path: Path) -> None:
    entrants = entrants_of(tmp_path / "trials.jsonl", validation)
    asked = itertools.count()

    def impatient(made: Callable[[Params], Generator]) -> Callable[[Params], tuple[np.ndarray, float, float]]:
        def measure(params: Params) -> tuple[np.ndarray, float, float]:
            if next(asked) == 4:
                raise KeyboardInterrupt
            return np.array([0.1]), 0.0, 0.0

        return measure

    entrants = [replace(one, measure=impatient(SPACES[one.name].make)) for one in entrants]
    assert take_turns(entrants, ENDLESS) is True
    assert sum(counts(entrants).values()) == 4
    again = entrants_of(tmp_path / "trials.jsonl", validation)
    assert take_turns(again, turns(1)) is False
    assert sum(counts(again).values()) == 5


def test_a_configuration_that_cannot_be_fitted_is_passed_over(tmp_path: Path) -> None:
    def measure(params: Params) -> tuple[np.ndarray, float, float]:
        if float(params["l2"] or 0) < 5:
            raise np.linalg.LinAlgError("singular")
        return np.array([0.1]), 0.0, 0.0

    study = Journal(tmp_path / "trials.jsonl").study("p2/ease/0")
    space: Space[object] = Space(EaseConfig(), {"l2": Span(0, 10)})
    take_turns([Entrant("ease", study, space, lambda tried: None if tried else {"l2": 1.0}, 1, measure)], turns(12))
    states = [one.state for one in study.attempts()]
    assert states[0] == "unfit" and len(states) == 12 and "complete" in states
    assert all(one.params["l2"] >= 5 for one in study.finished())


# what is used


def trial(config: object, ndcg: float, searched: bool = True) -> Trial[object]:
    return Trial(config, ndcg, 0.1, 0.1, (ndcg, ndcg), searched)


def test_a_winner_takes_the_grids_place_only_if_it_is_clearly_better(validation: Split) -> None:
    liked, all_ = Memory(feedback=Feedback.POSITIVE), Memory()
    grid = [trial(config, 0.2 if config.memory == all_ else 0.15, searched=False) for config in grids.EASE[:TRIALS]]
    near = trial(EaseConfig(l2=250, memory=all_), 0.203)
    assert best_of([*grid, near]).config == grids.EASE[0]
    far, other = trial(EaseConfig(l2=200, memory=all_), 0.21), trial(EaseConfig(l2=70, memory=liked), 0.18)
    assert best_of([*grid, near, other, far]).config == far.config
    searched = {name: tuple(trial(model.space.plain, 0.1, False) for _ in range(9)) for name, model in
                SPACES.items()}  # fmt: skip
    told: list[str] = []
    tuned = tune_models(
        validation,
        budget=TRIALS,
        searched=searched | {"ease": (*grid, near, other, far)},
        told=lambda one: told.append(one.name),
    )
    assert tuned.ease == tuned.ease_all == far.config
    assert tuned.ease_positive == other.config
    assert tuned.item_knn == SPACES["item_knn"].space.plain
    assert (tuned.trials, tuned.searched) == (TRIALS + 3, ("ease",))
    assert tuned.validation_ndcg["ease"] == 0.21
    assert told == list(TUNERS)


def test_without_a_search_the_grid_is_tried(validation: Split) -> None:
    tuned = tune_models(validation, budget=1, searched={})
    assert (tuned.trials, tuned.searched) == (1, ())
    assert tuned.ease == grids.EASE[0]


# the ranker


def test_the_ranker_is_searched_on_a_window_after_the_one_that_it_learns_from(
    checkerboard, past: list[Window], tmp_path: Path
) -> None:
    vocabulary = vocabulary_of([past[2]])
    asked, learned = (
        (one.slates(checkerboard.content, checkerboard.users, vocabulary), one.division) for one in past[1:]
    )
    journal = Journal(tmp_path / "trials.jsonl")
    prefix = study_prefix("p2", window_digest(asked[1]), recipe=1)
    assert chosen_ranker(journal, prefix) is None
    entrant = ranker_entrant(journal, asked, learned, prefix=prefix, slates="a")
    take_turns([entrant], turns(3))
    trials = entrant.trials()
    assert trials[0].config == BlendConfig()
    assert [one.searched for one in trials] == [False, True, True]
    assert all(0 < one.ndcg <= 1 for one in trials)
    assert chosen_ranker(Journal(tmp_path / "trials.jsonl"), prefix) == best_of(trials).config
    assert chosen_ranker(journal, study_prefix("p2", "other data", recipe=1)) is None


# the warehouse


def test_every_tried_configuration_is_a_row(validation: Split, tmp_path: Path) -> None:
    entrants = entrants_of(tmp_path / "trials.jsonl", validation)
    take_turns(entrants, turns(2 * len(QUICK)))
    (ease,) = [one for one in entrants if one.name == Ease.name]
    ease.space.suggest(ease.study.ask(SPACES["ease"].space.params(grids.EASE[2])))  # at work
    tried = pa.concat_tables([attempts_of(one.study, one.space) for one in entrants])
    won = winner_of(ease.study.name, ease.trials(), [0, 1])
    with Warehouse(tmp_path / "warehouse.duckdb") as warehouse:
        for _ in range(2):  # a later writing replaces an earlier one
            warehouse.write_trials(tried, won)
        ask = warehouse._db.sql
        assert ask("select count(*), count(distinct model) from trials").fetchall() == [(len(tried), len(QUICK))]
        rows = ask(
            "select number, value, state, params->>'$.l2' from trials where model = 'ease' order by 1"
        ).fetchall()
        assert [(number, state) for number, _, state, _ in rows] == [(0, "complete"), (1, "complete"), (2, "running")]
        assert [float(l2) for _, _, _, l2 in rows] == [one.l2 for one in grids.EASE[:3]]
        assert [value for _, value, _, _ in rows[:2]] == pytest.approx([one.ndcg for one in ease.trials()])
        assert rows[2][1] is None
        assert ask("select count(*) from trials where started_at is null or fit_s < 0").fetchall() == [(0,)]
        best = max(ease.trials(), key=lambda one: one.ndcg)
        found = ask("select protocol, model, value, reference, trials, searched from winners").fetchall()
        assert found == [("p2", "ease", pytest.approx(best.ndcg), pytest.approx(best.ndcg), 2, False)]


def test_a_trial_that_was_interrupted_while_its_point_was_drawn_is_no_row(tmp_path: Path) -> None:
    space = SPACES["ials"].space
    study = Journal(tmp_path / "trials.jsonl").study("p2/a/1/ials")
    name, dimension = next(iter(space.dimensions.items()))
    drawn = space.suggest(study.ask())
    half = Space(space.plain, {name: dimension}).suggest(study.ask())
    assert space.whole(drawn) and not space.whole(half)
    assert attempts_of(study, space)["number"].to_pylist() == [0]


def test_trials_of_the_grid_are_rows_under_the_name_that_a_search_would_use(validation: Split, tmp_path: Path) -> None:
    tuned = TUNERS["item_knn"](validation, 3)
    name = study_names(Protocol.P2, validation, recipe=1)["item_knn"]
    with Warehouse(tmp_path / "warehouse.duckdb") as warehouse:
        warehouse.write_trials(trials_of(name, tuned.trials), winner_of(name, tuned.trials, range(3)))
        take_turns(entrants := entrants_of(tmp_path / "trials.jsonl", validation), turns(3))
        for one in entrants:
            warehouse.write_trials(attempts_of(one.study, one.space), winner_of(name, tuned.trials, range(3)))
        assert warehouse._db.sql("select count(*) from trials where model = 'item_knn'").fetchall() == [(1,)]
