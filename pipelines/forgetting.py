"""Everything that a home holds of a user, erased: `trichord forget`.

Servers learn of it from the event log, before the online rows go: none writes these again from what it remembers. Each
place is replaced whole, and is safe to go through again, so a second run ends what was killed.
"""

import json
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feature_repo import schema
from feature_repo.durable import replacing, write_durably
from feature_repo.event_log import EventLog
from feature_repo.forgotten_features import forget_features
from feature_repo.forgotten_rows import drop_rows
from feature_repo.served import ServedLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from pipelines.assets.data import PARTS
from ranking.evaluation.forgotten import forget_in_warehouse
from ranking.serving.forgotten import forget_in_release

# artifacts whose rows stand beside arrays of as many rows: they go whole, and the next run makes them again
BESIDE_ARRAYS: Final = ("candidate_sets", "training_set")


@dataclass(frozen=True)
class Erased:
    """What a place held: rows, places in a list, or files."""

    place: str
    count: int


def forget(settings: Settings, users: Sequence[str], *, erase: bool = True) -> list[Erased]:
    """Erase users from a home, or only count what would be; the home must be held against runs.

    Raises:
        StoreUnavailableError: the online store does not answer; all else is done, and a second run ends it.
    """
    log = EventLog(settings.events)
    steps: list[Callable[[], list[Erased]]] = [
        lambda: _releases(settings, users, erase=erase),
        lambda: _lake(settings, users, erase=erase),
        lambda: _counted("warehouse", forget_in_warehouse(settings.warehouse, users, erase=erase)),
        lambda: [Erased("event log", log.forget(users) if erase else len(log.read(users=users)))],
        lambda: _parts(settings, log, users, erase=erase),
        lambda: [Erased("served vectors", ServedLog.of(settings).forget(users, erase=erase))],
        lambda: _counted("view", forget_features(Store(settings), users, erase=erase)),
    ]
    return [one for step in steps for one in step()]


def _counted(what: str, counts: dict[str, int]) -> list[Erased]:
    return [Erased(f"{what} {name}", count) for name, count in counts.items()]


def _releases(settings: Settings, users: Collection[str], *, erase: bool) -> list[Erased]:
    found = []
    for folder in sorted(settings.releases.glob("*")) if settings.releases.is_dir() else []:
        if folder.name.startswith("."):  # of a publication that was killed
            if erase:
                shutil.rmtree(folder)
        elif folder.is_dir():
            found.append(Erased(f"release {folder.name}", forget_in_release(folder, users, erase=erase)))
    return found


def _lake(settings: Settings, users: Collection[str], *, erase: bool) -> list[Erased]:
    found = []
    for folder in sorted(settings.lake.glob("*")) if settings.lake.is_dir() else []:
        if folder.name.startswith("."):  # of a run that was killed
            if erase:
                shutil.rmtree(folder)
            continue
        if folder.name == "features":  # the views'
            continue
        whole = folder.name in BESIDE_ARRAYS
        rows = sum(drop_rows(path, users, erase=erase and not whole) for path in folder.rglob("*.parquet"))
        if whole and rows and erase:
            shutil.rmtree(folder)
        found.append(Erased(f"lake {folder.name}", rows + _examples(folder / "rejected.json", users, erase=erase)))
    return [one for one in found if one.count]


def _examples(path: Path, users: Collection[str], *, erase: bool) -> int:
    """Rejected rows that are shown as examples and name users; their counts stay."""
    if not path.exists():
        return 0
    document = json.loads(path.read_text())
    names = re.compile("|".join(rf"(?<!\w){re.escape(user)}(?!\w)" for user in users))
    kept = [one for one in document["examples"] if not any(names.search(str(text)) for text in one)]
    found = len(document["examples"]) - len(kept)
    if found and erase:
        write_durably(path, f"{json.dumps(document | {'examples': kept}, indent=2)}\n".encode())
    return found


def _parts(settings: Settings, log: EventLog, users: Collection[str], *, erase: bool) -> list[Erased]:
    """The dataset's own split names events by id: those that are no more go."""
    path = settings.lake / "event_log" / PARTS
    if not path.exists():
        return []
    rows = pq.read_table(path)
    ids = pa.array(sorted(log.ids()), pa.string())
    if not erase:
        ids = pc.filter(ids, pc.invert(pc.is_in(ids, log.read(users=users)[schema.EVENT_ID].combine_chunks())))
    kept = rows.filter(pc.is_in(rows[schema.EVENT_ID], ids))
    if erase and len(kept) < len(rows):
        with replacing(path) as file:
            pq.write_table(kept, file)
    return [Erased("split of the dataset", len(rows) - len(kept))]
