"""A home's own configuration of the alignment: one JSON file that people may write and a search writes."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipelines.errors import DatasetError, HomeError
from ranking.representation.alignment_config import AlignmentConfig
from ranking.types import Interactions

if TYPE_CHECKING:
    from pipelines.workspace import Workspace
    from ranking.strategy.alignment_search import Searched

FILE: Final = "alignment.json"


def read_config(home: Path) -> AlignmentConfig:
    """What `alignment.json` in the home says, the defaults for all that it does not name, or without it.

    Raises `HomeError` for a file that is not JSON, an unknown name or a value out of range.
    """
    path = home / FILE
    try:
        given = json.loads(path.read_text())
        unknown = set(given) - {field.name for field in fields(AlignmentConfig)}
        if unknown:
            known = ", ".join(field.name for field in fields(AlignmentConfig))
            raise HomeError(
                f"{path}: {', '.join(sorted(unknown))} is unknown; accepted: {known}; mend or delete the file"
            )
        return TypeAdapter(AlignmentConfig).validate_python(given)
    except FileNotFoundError:
        return AlignmentConfig()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise HomeError(f"{path}: {name} {first['input']!r}: {first['msg']}; mend or delete the file") from None
    except (ValueError, TypeError) as error:
        raise HomeError(f"{path}: no JSON object of names and values ({error}); mend or delete the file") from None


def write_config(home: Path, config: AlignmentConfig) -> None:
    """Let the next run align by `config`: what differs from the defaults is written, or nothing is kept."""
    plain = TypeAdapter(AlignmentConfig).dump_python(AlignmentConfig(), mode="json")
    chosen = TypeAdapter(AlignmentConfig).dump_python(config, mode="json")
    changed = {name: value for name, value in chosen.items() if value != plain[name]}
    path = home / FILE
    if not changed:
        path.unlink(missing_ok=True)
        return
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(changed, indent=2) + "\n")
    partial.replace(path)


def tune(workspace: "Workspace", *, minutes: float) -> "Searched":
    """Search for `minutes` on what every protocol may learn from, and keep the winner for the next run.

    Raises `HomeError` for a home that has no items, events and vectors yet, `DatasetError` where there was no time or
    nobody to ask.
    """
    _ = workspace.content  # a home that has none is not touched
    with workspace.home.lock():
        found = search_alignment(workspace, minutes=minutes)
    if found is None:
        raise DatasetError(
            f"dataset {workspace.dataset_name}: no trial was finished in {minutes:g} minutes; needed are time for "
            "two alignments, and users who like at least two items: give more --minutes, or add events"
        )
    return found


def search_alignment(
    workspace: "Workspace", *, minutes: float, clock: Callable[[], float] = time.monotonic
) -> "Searched | None":
    """The same of a home that is held already; None where there was no time or nobody to ask."""
    from ranking.strategy.alignment_search import search
    from ranking.strategy.study import JOURNAL

    began = clock()

    def told(trials: int, best: float) -> None:
        seconds = min(round(clock() - began), round(60 * minutes))
        workspace.listener.step(f"alignment: {trials} trials, best NDCG@10 {best:.4f}", seconds, round(60 * minutes))

    train = common_train(workspace.interactions)
    journal, base = workspace.settings.home / JOURNAL, workspace.alignment
    found = search(workspace.content, train, journal, minutes=minutes, base=base, told=told, clock=clock)
    if found is not None:
        write_config(workspace.settings.home, found.config)
        _keep(workspace, found)
    return found


def _keep(workspace: "Workspace", found: "Searched") -> None:
    """Store the trials and the winner in the warehouse."""
    from ranking.evaluation.trials import attempts_of, winner_of
    from ranking.evaluation.warehouse import Warehouse
    from ranking.strategy.alignment_search import DIMENSIONS
    from ranking.strategy.space import Space
    from ranking.strategy.study import JOURNAL, Journal
    from ranking.strategy.turns import finished

    study = Journal(workspace.settings.home / JOURNAL).study(found.study)
    space = Space[object](found.config, DIMENSIONS)
    numbers = [one.number for one in study.finished()]
    with Warehouse(workspace.settings.warehouse) as warehouse:
        chosen = winner_of(found.study, finished(study, space, 1), numbers)
        warehouse.write_trials(attempts_of(study, space), chosen)


def report(found: "Searched", home: Path, *, as_json: bool) -> str:
    """What a search has found, as one JSON document or in two lines."""
    if as_json:
        return json.dumps(asdict(found))
    default, best = (" and ".join(f"{one:.4f}" for one in ndcg) for ndcg in (found.default, found.best))
    kept = "the defaults stay" if found.default == found.best else f"kept in {home / FILE}"
    return (
        f"{found.trials} trials; NDCG@10 on two hidden fifths of the items: default {default}, best {best}\n"
        f"{kept}; `trichord run --home {home}` reads it"
    )


def common_train(log: Interactions) -> Interactions:
    """What lies in the earliest training part of every protocol: nothing that an evaluation asks about."""
    from pipelines.windows import WINDOWS  # heavy, as all below
    from ranking.splits import protocols_of
    from ranking.strategy.fit import divisions

    keys = _keys(log)
    kept = np.ones(len(log), bool)
    for protocol in protocols_of(log):
        divided = divisions(log, protocol, WINDOWS)
        if divided:
            kept &= np.isin(keys, _keys(divided[-1].train))
    return log.where(kept)


def _keys(log: Interactions) -> np.ndarray:
    return np.rec.fromarrays([log.user, log.item, log.occurred_at])
