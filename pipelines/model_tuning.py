"""The command `trichord tune models`: a search over single models, the ranker and the alignment, on one budget."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter
from rich.table import Table

from feature_repo.settings import Settings
from pipelines.alignment_tuning import report as alignment_report
from pipelines.alignment_tuning import search_alignment
from pipelines.errors import DatasetError
from pipelines.home import RECIPE_VERSION, Json
from pipelines.searched import keep_searched
from pipelines.windows import WINDOWS, windows
from pipelines.workspace import Workspace
from ranking.evaluation.warehouse import Warehouse
from ranking.representation.tuning_curves import Curves
from ranking.splits import Protocol, Split
from ranking.strategy.alignment_search import Searched
from ranking.strategy.fit import divisions, vocabulary_of
from ranking.strategy.model_search import model_entrants, searched_trials, study_names, window_digest
from ranking.strategy.ranker_search import NAME as RANKER
from ranking.strategy.ranker_search import ranker_entrant, study_prefix
from ranking.strategy.study import JOURNAL, Budget, Journal
from ranking.strategy.tuning import Trial, best_of
from ranking.strategy.turns import Entrant, take_turns

CURVES: Final = "searches"  # folder of the home


class Part(StrEnum):
    """What is searched."""

    MODELS = "models"
    RANKER = "ranker"
    ALIGNMENT = "alignment"


SHARES: Final = {Part.MODELS: 2, Part.RANKER: 1, Part.ALIGNMENT: 1}  # of the minutes


@dataclass(frozen=True)
class Chosen:
    """Of one model: the best value without the search and the chosen one's, equal where the search found nothing.

    trials: finished ones. best: the best value of all of them, which flatters. searched: whether the chosen one was
    found by the search.
    """

    trials: int
    reference: float
    chosen: float
    best: float
    searched: bool
    config: Json


@dataclass
class Found:
    """What a search has found so far, by model; alignment: None where it was not asked for, or found no time."""

    protocol: Protocol
    models: dict[str, Chosen] = field(default_factory=dict)
    alignment: Searched | None = None
    left_out: list[str] = field(default_factory=list)
    interrupted: bool = False


def tune_models(
    workspace: Workspace,
    protocol: Protocol,
    parts: Sequence[Part],
    *,
    minutes: float,
    clock: Callable[[], float] = time.monotonic,
) -> Found:
    """Search for `minutes` on a home's validation window; every finished trial is kept, also where the user ends it.

    Raises `HomeError` for a home without items, events and vectors, `DatasetError` for one too small to be divided.
    """
    _ = workspace.content  # a home that has none is not touched
    divided = divisions(workspace.interactions, protocol, 2)
    if len(divided) < 2:
        raise DatasetError(
            f"dataset {workspace.dataset_name}: {len(workspace.interactions)} interactions are too few to be divided "
            f"twice by {protocol}; needed are users with at least 10 events, some of them positive: add events"
        )
    found, whole = Found(protocol), Budget.of(minutes, clock)
    wanted = [part for part in Part if part in parts]
    with workspace.home.lock():
        while wanted and not found.interrupted:
            share = SHARES[wanted[0]] / sum(SHARES[part] for part in wanted)
            budget = Budget(clock() + share * max(whole.end - clock(), 0), clock)
            part = wanted.pop(0)
            if part is Part.ALIGNMENT:
                _search_alignment(workspace, found, budget)
            else:
                _search(workspace, _entrants(workspace, part, found, divided[1]), found, budget)
    return found


def _entrants(workspace: Workspace, part: Part, found: Found, validation: Split) -> list[Entrant]:
    """Who takes turns; nobody where the ranker has no earlier window to learn from."""
    journal, protocol = Journal(workspace.settings.home / JOURNAL), found.protocol
    if part is Part.MODELS:
        return model_entrants(journal, study_names(protocol, validation, recipe=RECIPE_VERSION), validation)
    stamp = workspace.home.stamp("training_set")
    kept = {} if stamp is None else dict(windows(workspace, "training_set", protocol))
    if stamp is None or len(kept) < WINDOWS:
        found.left_out.append("ranker: it needs the two inner windows that `trichord run` keeps of larger data")
        return []
    users, vocabulary = workspace.home.read("users"), vocabulary_of([kept[2]])
    asked, past = ((kept[one].slates(workspace.content, users, vocabulary), kept[one].division) for one in (1, 2))
    prefix = study_prefix(protocol, window_digest(validation), recipe=RECIPE_VERSION)
    return [ranker_entrant(journal, asked, past, prefix=prefix, slates=stamp.fingerprint)]


def _search(workspace: Workspace, entrants: list[Entrant], found: Found, budget: Budget) -> None:
    """Let the entrants take turns and keep what they found."""
    if not entrants:
        return
    began, total = budget.clock(), budget.end - budget.clock()
    curves = _curves(workspace, entrants)

    def told(entrant: Entrant, trial: Trial[object]) -> None:
        trials = entrant.trials()
        best = max(one.ndcg for one in trials)
        values = {f"{entrant.name}/ndcg": trial.ndcg, f"{entrant.name}/best": best}
        curves.write(len(trials) - 1, values)
        what = f"{found.protocol} {entrant.name}: {len(trials)} trials, best NDCG@10 {best:.4f}"
        workspace.listener.step(what, min(round(budget.clock() - began), round(total)), round(total))

    found.interrupted = take_turns(entrants, budget, told)
    curves.close()
    counted = searched_trials(entrants) or {one.name: one.trials() for one in entrants if one.name == RANKER}
    for one in entrants:
        if trials := one.trials():
            found.models[one.name] = _chosen(trials, counted.get(one.name, ()))
    with Warehouse(workspace.settings.warehouse) as warehouse:
        keep_searched(warehouse, entrants, {name: len(trials) for name, trials in counted.items()})


def _curves(workspace: Workspace, entrants: Sequence[Entrant]) -> Curves:
    """In a folder that bears the first study's name; a step is a trial of each model."""
    name = entrants[0].study.name
    folder = workspace.settings.home / CURVES / name
    folder.mkdir(parents=True, exist_ok=True)
    first = max(len(one.study.finished()) for one in entrants)
    return Curves(folder, name=name.replace("/", "-"), step=first, settings={"models": [one.name for one in entrants]})


def _search_alignment(workspace: Workspace, found: Found, budget: Budget) -> None:
    minutes = (budget.end - budget.clock()) / 60
    found.alignment = search_alignment(workspace, minutes=minutes, clock=budget.clock)
    if found.alignment is None:
        found.left_out.append("alignment: no trial was finished in its share of the minutes")
    else:
        found.interrupted = found.alignment.interrupted


def _chosen(trials: Sequence[Trial[object]], counted: Sequence[Trial[object]]) -> Chosen:
    of_grid = [one for one in trials if not one.searched]
    best = best_of(counted or of_grid or trials)
    return Chosen(
        trials=len(trials),
        reference=best_of(of_grid or trials).ndcg,
        chosen=best.ndcg,
        best=max(one.ndcg for one in trials),
        searched=best.searched,
        config=TypeAdapter(type(best.config)).dump_python(best.config, mode="json"),
    )


def report(found: Found) -> dict[str, Json]:
    """What a search has found, as JSON."""
    return {
        "protocol": found.protocol.value,
        "models": {name: asdict(one) for name, one in found.models.items()},
        "alignment": None if found.alignment is None else json.loads(json.dumps(asdict(found.alignment))),
        "left_out": [*found.left_out],
        "interrupted": found.interrupted,
    }


def table(found: Found) -> Table:
    """The same for people."""
    shown = Table(title=f"NDCG@10 on the validation window of {found.protocol.upper()}", title_justify="left")
    for column in ("model", "trials", "without the search", "best of all", "used"):
        shown.add_column(column, justify="left" if column == "model" else "right")
    for name, one in found.models.items():
        used = f"{one.chosen:.4f}" if one.searched else "as before"
        shown.add_row(name, str(one.trials), f"{one.reference:.4f}", f"{one.best:.4f}", used)
    return shown


def lines(found: Found, settings: Settings) -> list[str]:
    """What is said beside the table."""
    home = settings.home
    said = [f"left out: {one}" for one in found.left_out]
    if found.alignment is not None:
        said.append(f"alignment: {alignment_report(found.alignment, home, as_json=False).splitlines()[0]}")
    if found.interrupted:
        said.append(f"interrupted: what was finished is kept in {home / JOURNAL}; the same command goes on from there")
    said.append(f"tables trials and winners: {settings.warehouse}; `trichord run --home {home}` uses what won")
    return said
