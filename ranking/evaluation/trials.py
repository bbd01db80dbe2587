"""Rows of the warehouse's tables `trials` and `winners` (columns: sql/schema.sql)."""

from collections.abc import Sequence
from typing import Final

import pyarrow as pa
from pydantic import TypeAdapter

from ranking.strategy.space import Space
from ranking.strategy.study import Study
from ranking.strategy.tuning import Trial, best_of
from ranking.strategy.turns import FIT_S, NDCG, Entrant

TRIALS: Final = pa.schema(
    [
        ("study", pa.string()),
        ("protocol", pa.string()),
        ("model", pa.string()),
        ("number", pa.int32()),
        ("value", pa.float64()),
        ("fit_s", pa.float64()),
        ("params", pa.string()),
        ("state", pa.string()),
        ("started_at", pa.timestamp("us", "UTC")),
    ]
)
WINNERS: Final = pa.schema(
    [
        ("protocol", pa.string()),
        ("model", pa.string()),
        ("study", pa.string()),
        ("number", pa.int32()),
        ("value", pa.float64()),
        ("reference", pa.float64()),
        ("trials", pa.int32()),
        ("searched", pa.bool_()),
        ("params", pa.string()),
    ]
)


def attempts_of(study: Study, space: Space[object]) -> pa.Table:
    """Every trial of a study that has a configuration as its journal has it, unfinished ones too."""
    rows = [
        {
            **_of(study.name),
            "number": one.number,
            "value": one.facts.get(NDCG, one.value),
            "fit_s": one.facts.get(FIT_S),
            "params": plain(space.config(one.params)),
            "state": one.state,
            "started_at": one.started_at,
        }
        for one in study.attempts()
        if one.state != "waiting" and space.whole(one.params)
    ]
    return pa.Table.from_pylist(rows, TRIALS)


def trials_of(study: str, trials: Sequence[Trial[object]]) -> pa.Table:
    """Finished trials that no journal holds, numbered in their order. study: the name that a search would give it."""
    rows = [
        {
            **_of(study),
            "number": number,
            "value": one.ndcg,
            "fit_s": one.fit_s,
            "params": plain(one.config),
            "state": "complete",
            "started_at": one.started_at,
        }
        for number, one in enumerate(trials)
    ]
    return pa.Table.from_pylist(rows, TRIALS)


def winner_of(study: str, trials: Sequence[Trial[object]], numbers: Sequence[int]) -> pa.Table:
    """What was chosen of a model's trials, one row. numbers: of the trials, in their order."""
    best, reference = best_of(trials), best_of([one for one in trials if not one.searched])
    row = {
        **_of(study),
        "number": numbers[trials.index(best)],
        "value": best.ndcg,
        "reference": reference.ndcg,
        "trials": len(trials),
        "searched": best.searched,
        "params": plain(best.config),
    }
    return pa.Table.from_pylist([row], WINNERS)


def entrants_winner(entrant: Entrant) -> pa.Table:
    """The same of all trials of one that was searched; no row where none is finished."""
    trials = entrant.trials()
    if not trials:
        return WINNERS.empty_table()
    return winner_of(entrant.study.name, trials, [one.number for one in entrant.study.finished()])


def plain(config: object) -> str:
    """A configuration as JSON."""
    return TypeAdapter(type(config)).dump_json(config).decode()


def _of(study: str) -> dict[str, str]:
    protocol, model, *_ = study.split("/")
    return {"study": study, "protocol": protocol, "model": model}
