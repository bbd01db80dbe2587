"""Whether served features are those that training sees: what was logged, or a sample served now, replayed offline."""

import random
from dataclasses import asdict, dataclass
from typing import Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from feature_repo import parity, schema
from feature_repo.event_rows import RECEIVED_AT
from feature_repo.fingerprint import definitions
from feature_repo.labels import label_events
from feature_repo.parity_report import DIFFERENT, EXACT, FLYING, OPEN, ROUNDED, Report
from feature_repo.served import SERVICE, ServedLog, with_told
from pipelines.home import Json
from pipelines.workspace import Workspace
from ranking.serving.engine import Engine
from ranking.serving.payloads import Context, Request

OUTCOMES: Final = (EXACT, ROUNDED, FLYING, OPEN, DIFFERENT)
SERVED_NOW: Final = "served_now"
LOGGED: Final = "log"


@dataclass(frozen=True)
class Checked:
    """A replay of one home.

    source: `LOGGED` or `SERVED_NOW`. other_definitions: logged requests that were answered by definitions which have
    changed since, and cannot be computed again. log: what was offered to the log and kept.
    """

    source: str
    report: Report
    other_definitions: int
    log: dict[str, int]

    def to_json(self) -> dict[str, Json]:
        """The document that `trichord parity --json` prints."""
        found = self.report
        return {
            "passed": found.passed,
            "source": self.source,
            "requests": found.requests,
            "vectors": found.vectors,
            "values": {outcome: found.count(outcome) for outcome in OUTCOMES},
            "features": {name: {one: counted[one] for one in OUTCOMES} for name, counted in found.features.items()},
            "float32_tolerance": parity.FLOAT32,
            "late": {
                "events": found.late_events,
                "vectors": found.late_vectors,
                "features": dict(sorted(found.late_features.items())),
            },
            "other_definitions": self.other_definitions,
            "log": dict(self.log),
            "differences": [asdict(one) for one in found.differences],
        }


def check_logged(workspace: Workspace, *, requests: int, seed: int = 0) -> Checked:
    """Replay requests of the home's log; a report of no vectors where it holds none."""
    log = ServedLog.of(workspace.settings)
    vectors, others = log.sample(requests, seed=seed)
    return Checked(LOGGED, _replayed(workspace, vectors), others, log.counts())


def check(workspace: Workspace, *, requests: int, seed: int = 0) -> Checked:
    """Replay requests of the home's log; where it holds none, as many that are served now, to users drawn by a seed."""
    logged = check_logged(workspace, requests=requests, seed=seed)
    if logged.report.vectors:
        return logged
    report = _replayed(workspace, _serve(workspace, requests, seed))
    return Checked(SERVED_NOW, report, logged.other_definitions, logged.log)


def _serve(workspace: Workspace, requests: int, seed: int) -> pa.Table:
    """Vectors of requests at the data's clock, each of a user and surroundings that some event names."""
    engine = Engine(workspace.settings)
    engine.load()
    draw = random.Random(seed)
    users = sorted(pc.unique(workspace.events[schema.USER_ID]).to_pylist())
    tables = []
    for user in draw.sample(users, min(requests, len(users))):
        event = workspace.events.slice(draw.randrange(len(workspace.events)), 1).to_pylist()[0]
        context = Context(device=event[schema.DEVICE], place=event[schema.PLACE])
        answered = engine.answered(Request(user_id=user, context=context))
        if answered.vectors is not None:
            told = (uuid4().hex, answered.read_at, answered.response.release, answered.service, definitions())
            tables.append(with_told(answered.vectors, *told))
    return pa.concat_tables(tables) if tables else pa.table({})


def _replayed(workspace: Workspace, vectors: pa.Table) -> Report:
    """Reports of all services in one."""
    total = Report()
    if not len(vectors):
        return total
    logged = workspace.log.read(received=True)
    known = logged.filter(pc.is_in(logged[schema.KIND], pa.array([kind.name for kind in workspace.kinds])))
    events = label_events(known, workspace.kinds).append_column(RECEIVED_AT, known[RECEIVED_AT])
    for service in sorted(pc.unique(vectors[SERVICE]).to_pylist()):
        part = vectors.filter(pc.equal(vectors[SERVICE], service))
        total += parity.replay(part, service=service, store=workspace.store, events=events, items=workspace.items)
    return total


def parity_table(checked: Checked) -> Table:
    """A line a feature that is not equal everywhere, and the whole."""
    found = checked.report
    table = Table(
        title=f"{found.vectors} vectors of {found.requests} requests ({checked.source.replace('_', ' ')})",
        title_justify="left",
    )
    for column in ("feature", *(outcome.replace("_", " ") for outcome in OUTCOMES)):
        table.add_column(column, justify="left" if column == "feature" else "right")
    for name, counted in found.features.items():
        if counted[EXACT] < counted.total():
            table.add_row(name, *(str(counted[outcome]) for outcome in OUTCOMES))
    table.add_row(f"all {len(found.features)} features", *(str(found.count(outcome)) for outcome in OUTCOMES))
    return table


def parity_notes(checked: Checked) -> list[str]:
    """What the table does not say, a line each."""
    found = checked.report
    notes = [
        f"DIFFERENT {one.feature}: user {one.user_id!r}, item {one.item_id!r}, at {one.at}: served {one.served!r}, "
        f"offline {one.offline!r} (request {one.request_id}, release {one.release})"
        for one in found.differences
    ]
    if found.late_vectors:
        features = ", ".join(f"{name} of {count}" for name, count in sorted(found.late_features.items())) or "nothing"
        notes.append(
            f"{found.late_events} events arrived after {found.late_vectors} vectors whose moment they precede; "
            f"training now sees otherwise: {features}"
        )
    if checked.other_definitions:
        notes.append(f"{checked.other_definitions} logged requests were answered by other definitions: not compared")
    return notes
