"""A search for better configurations of the single models, on the validation window: the same number of trials for all.

The grids' configurations come first; after them Optuna's tree-structured Parzen estimator proposes (Bergstra et al.
2011). Nothing but the validation window is looked at.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from ranking.splits import Protocol, Split
from ranking.strategy.search_spaces import SEQUENTIAL, SPACES, Model
from ranking.strategy.study import Arrays, Journal, Params, digest
from ranking.strategy.tuning import Trial, measured
from ranking.strategy.turns import Entrant, Measure

TRIALS: Final = 6  # per model and protocol: what every home tries, and what a search has to beat


def model_entrants(journal: Journal, names: Mapping[str, str], validation: Split) -> list[Entrant]:
    """Every single model on one window. names: of their studies, by model, as `study_names` gives them."""
    return [
        Entrant(
            name=model,
            study=journal.study(name),
            space=SPACES[model].space,
            first=partial(_first, SPACES[model]),
            reference=TRIALS,
            measure=_measure(SPACES[model], validation),
        )
        for model, name in names.items()
        if model in SPACES
    ]


def searched_trials(entrants: Sequence[Entrant]) -> dict[str, tuple[Trial[object], ...]]:
    """Each model's trials, the same number of all (or all there are of one that has no more configurations).

    Empty where a model has fewer than `TRIALS`: there is nothing yet that the grid would not find.
    """
    counts = [len(one.study.finished()) for one in entrants if not one.exhausted]
    rounds = min(counts, default=TRIALS)
    if rounds < TRIALS:
        return {}
    return {one.name: one.trials()[:rounds] for one in entrants}


def study_names(protocol: Protocol, validation: Split, *, recipe: int) -> dict[str, str]:
    """By model; the same for the same window, space and version of the code behind the models."""
    window, models = window_digest(validation), {**SPACES, **SEQUENTIAL}
    digests = {model: digest([window, str(recipe), repr(one.space)], []) for model, one in models.items()}
    return {model: f"{protocol}/{model}/{found}" for model, found in digests.items()}


def window_digest(validation: Split) -> str:
    """The same for the same training part and questions."""
    train, queries, relevant = validation.train, validation.queries, validation.relevant
    arrays: Arrays = [train.user, train.item, train.occurred_at, train.weight, train.positive]
    arrays += [queries.user, queries.at, queries.as_of, relevant.indptr, relevant.indices]
    return digest([validation.protocol, *train.users.ids, *train.items.ids], arrays)


def _first(model: Model, tried: Sequence[tuple[Params, float]]) -> Params | None:
    return model.first(tried, TRIALS)


def _measure(model: Model, validation: Split) -> Measure:
    train, queries, relevant = validation.train, validation.queries, validation.relevant
    return lambda params: measured(model.make(params), train, queries, relevant)
