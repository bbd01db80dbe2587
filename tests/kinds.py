"""What the kinds of events mean, in a home that no dataset was read into."""

from pathlib import Path

from pydantic import TypeAdapter

from feature_repo.schema import EventKind
from pipelines.home import Facts
from pipelines.workspace import KINDS, Workspace


def write_kinds(workspace: Workspace, *kinds: EventKind) -> None:
    """As the asset `event_log` leaves them."""

    def make(folder: Path) -> Facts:
        (folder / KINDS).write_bytes(TypeAdapter(tuple[EventKind, ...]).dump_json(kinds))
        return {}

    workspace.build("event_log", make)
