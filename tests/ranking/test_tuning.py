"""Tuning gives each model the same number of trials and keeps the config that ranks best."""

from dataclasses import replace
from math import log2

import numpy as np
import pytest
from scipy import sparse

from ranking.candidates.full_ranking import full_ranking
from ranking.candidates.item_knn import ItemKnnConfig
from ranking.candidates.popular import Popular, PopularConfig, PopularWindowed, PopularWindowedConfig
from ranking.candidates.sasrec_config import SasrecConfig
from ranking.splits import Protocol, Split, split
from ranking.strategy import tuned as tuned_module
from ranking.strategy.grids import SEQUENTIAL, TUNERS, doubled_and_halved
from ranking.strategy.tuned import tune_models
from ranking.strategy.tuning import tune
from ranking.types import UNKNOWN, IdIndex, Interactions, Queries


def log(user, item, day) -> Interactions:
    user, item, day = (np.asarray(column) for column in (user, item, day))
    nothing = np.full(len(user), None, object)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(user.max() + 1))),
        items=IdIndex(tuple(f"i{i:03}" for i in range(item.max() + 1))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=day * 86_400_000_000,
        weight=np.ones(len(user), np.float32),
        positive=np.ones(len(user), bool),
        device=nothing,
        place=nothing,
    )


def fashion() -> tuple[Interactions, Queries, sparse.csr_matrix]:
    """Item 1 was met often long ago, item 2 lately; user 0, who met item 0 alone, will like item 2."""
    train = log([0, *range(1, 8), *range(1, 5)], [0] + [1] * 7 + [2] * 4, [0, *range(1, 8), *range(91, 95)])
    queries = Queries.from_interactions(train, np.zeros(1, np.int32), np.array([100 * 86_400_000_000]))
    return train, queries, sparse.csr_matrix(np.array([[False, False, True]]))


def test_the_config_that_ranks_best_is_kept():
    train, queries, relevant = fashion()
    grid = [PopularWindowedConfig(window_days=days) for days in (365, 30, 10)]
    tuned = tune("popular_windowed", PopularWindowed, grid, train, queries, relevant, budget=3)
    assert tuned.config == grid[1]  # the earliest of equal ones
    assert tuned.ndcg == 1.0
    assert [trial.ndcg for trial in tuned.trials] == pytest.approx([1 / log2(3), 1, 1])
    assert isinstance(tuned.make(), PopularWindowed)


def test_a_budget_takes_the_first_configs():
    train, queries, relevant = fashion()
    grid = [PopularWindowedConfig(window_days=days) for days in (365, 30, 10)]
    tuned = tune("popular_windowed", PopularWindowed, grid, train, queries, relevant, budget=1)
    assert [trial.config for trial in tuned.trials] == grid[:1]


def test_a_winner_on_the_edge_is_stepped_from_within_the_budget():
    train, queries, relevant = fashion()
    grid = [PopularWindowedConfig(window_days=days) for days in (2000, 365, 730)]
    tuned = tune(
        "popular_windowed",
        PopularWindowed,
        grid,
        train,
        queries,
        relevant,
        budget=5,
        steps=lambda config: doubled_and_halved(config, "window_days"),
    )
    assert [trial.config.window_days for trial in tuned.trials] == [2000, 365, 730, 4000, 1000]


def test_steps_follow_what_got_better():
    train, queries, relevant = fashion()
    halve = lambda config: [replace(config, window_days=config.window_days / 2)]  # noqa: E731
    grid = [PopularWindowedConfig(window_days=160)]
    tuned = tune("popular_windowed", PopularWindowed, grid, train, queries, relevant, budget=3, steps=halve)
    assert [trial.config.window_days for trial in tuned.trials] == [160, 80, 40]  # 40 is no better than 80
    assert tuned.config.window_days == 80


def test_an_integer_is_halved_to_an_integer_and_nothing_has_no_half():
    assert [one.neighbours for one in doubled_and_halved(ItemKnnConfig(neighbours=5), "neighbours")] == [10, 2]
    assert doubled_and_halved(PopularWindowedConfig(window_days=None), "window_days") == []


@pytest.mark.parametrize(("grid", "budget"), [([], 1), ([PopularConfig()], 0)])
def test_nothing_to_try_is_an_error(grid, budget):
    with pytest.raises(ValueError, match="popular: budget"):
        tune("popular", Popular, grid, *fashion(), budget=budget)


def test_items_of_the_history_are_not_ranked():
    train, queries, _ = fashion()
    assert full_ranking(Popular(PopularConfig()).fit(train), queries, k=3)[0].tolist() == [[1, 2, UNKNOWN]]


def random_validation() -> Split:
    rng = np.random.default_rng(0)
    user, item = np.nonzero(rng.random((30, 40)) < 0.3)
    order = rng.permutation(len(user))
    return split(log(user[order], item[order], np.arange(len(user))), Protocol.P2)


def test_every_model_is_tuned_with_its_own_grid():
    validation = random_validation()
    for name, tuner in TUNERS.items():
        tuned = tuner(validation, 2)
        assert tuned.name == name == tuned.make().name
        assert len(tuned.trials) == 2
        assert 0 <= tuned.ndcg <= 1


@pytest.mark.parametrize("sequential", [False, True])
def test_a_sequential_model_is_tuned_and_used_where_it_is_asked_for(sequential, monkeypatch):
    monkeypatch.setattr(tuned_module, "TUNERS", {name: TUNERS[name] for name in ("ease", "popular")})
    models = tune_models(random_validation(), budget=1, sequential=sequential)
    names = {"ease", "popular"} | ({"sasrec"} if sequential else set())
    assert set(models.validation_ndcg) == names
    assert isinstance(models.sasrec, SasrecConfig) == isinstance(models.generators().sasrec, SasrecConfig) == sequential
    assert ("sasrec" in models.baselines()) == sequential
    assert set(SEQUENTIAL) == {"sasrec"}
