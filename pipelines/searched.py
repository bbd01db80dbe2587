"""What a home has searched for, as its runs use it: better configurations of the single models and of the ranker."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from pipelines.home import RECIPE_VERSION
from ranking.evaluation.trials import WINNERS, attempts_of, trials_of, winner_of
from ranking.evaluation.warehouse import Warehouse
from ranking.rankers.blend import BlendConfig
from ranking.splits import Protocol, Split
from ranking.strategy.fit import divisions
from ranking.strategy.model_search import TRIALS, model_entrants, searched_trials, study_names, window_digest
from ranking.strategy.ranker_search import chosen_ranker, study_prefix
from ranking.strategy.search_spaces import SPACES
from ranking.strategy.study import JOURNAL, Journal
from ranking.strategy.tuned import TunedModels, tune_models
from ranking.strategy.tuning import Trial, Tuned, best_of
from ranking.strategy.turns import Entrant

if TYPE_CHECKING:
    from pipelines.workspace import Workspace


def searched_on(workspace: "Workspace", protocol: Protocol) -> list[Entrant]:
    """Every single model with its trials on the validation window as it is now; nobody where there was no search."""
    path = workspace.settings.home / JOURNAL
    divided = divisions(workspace.interactions, protocol, 2) if path.exists() else []
    if len(divided) < 2:
        return []
    journal, names = Journal(path), study_names(protocol, divided[1], recipe=RECIPE_VERSION)
    return model_entrants(journal, names, divided[1]) if {names[one] for one in SPACES} <= set(journal.names()) else []


def tune_on(
    workspace: "Workspace",
    protocol: Protocol,
    validation: Split,
    entrants: Sequence[Entrant],
    *,
    progress: Callable[[int, int], None],
) -> TunedModels:
    """The best configuration of each single model by the trials of a search, or of the grids where there was none.

    Trials and choice are kept in the warehouse.
    """
    searched, tried = searched_trials(entrants), list[Tuned[object]]()
    tuned = tune_models(
        validation,
        budget=TRIALS,
        sequential=workspace.settings.models.sequential,
        searched=searched,
        told=tried.append,
        progress=progress,
    )
    with Warehouse(workspace.settings.warehouse) as warehouse:
        if searched:
            keep_searched(warehouse, entrants, {name: len(trials) for name, trials in searched.items()})
        unsearched = [one for one in tried if one.name not in searched]
        keep_grid(warehouse, study_names(protocol, validation, recipe=RECIPE_VERSION), unsearched)
    return tuned


def winners(trials: dict[str, tuple[Trial[object], ...]]) -> dict[str, str]:
    """By model, the configuration that a search found beyond the grid; a run that has others makes its models anew."""
    best = {name: best_of(of_model) for name, of_model in trials.items()}
    return {name: repr(one.config) for name, one in best.items() if one.searched}


def keep_grid(warehouse: Warehouse, names: Mapping[str, str], tuned: Sequence[Tuned[object]]) -> None:
    """Store trials that no search has made, and what was chosen of them. names: of the studies, by model."""
    if not tuned:
        return
    warehouse.write_trials(
        pa.concat_tables([trials_of(names[one.name], one.trials) for one in tuned]),
        pa.concat_tables([winner_of(names[one.name], one.trials, range(len(one.trials))) for one in tuned]),
    )


def keep_searched(warehouse: Warehouse, entrants: Sequence[Entrant], counted: Mapping[str, int]) -> None:
    """Store a search's trials, and what was chosen.

    counted: how many of a model's trials count; of a model that is not named nothing is chosen.
    """
    if not entrants:
        return
    chosen = [
        winner_of(one.study.name, one.trials()[:count], [tried.number for tried in one.study.finished()])
        for one in entrants
        if (count := counted.get(one.name, 0))
    ]
    tried = [attempts_of(one.study, one.space) for one in entrants]
    warehouse.write_trials(pa.concat_tables(tried), pa.concat_tables([WINNERS.empty_table(), *chosen]))


def ranker_of(workspace: "Workspace", protocol: Protocol, plain: BlendConfig) -> BlendConfig:
    """How a protocol's ranker is learned: as a search on this home's data found best, else `plain`."""
    path = workspace.settings.home / JOURNAL
    divided = divisions(workspace.interactions, protocol, 2) if path.exists() else []
    if len(divided) < 2:
        return plain
    prefix = study_prefix(protocol, window_digest(divided[1]), recipe=RECIPE_VERSION)
    return chosen_ranker(Journal(path), prefix) or plain
