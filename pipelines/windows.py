"""The windows that models learn from and are asked by, as a home keeps them, and what was chosen for each protocol."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipelines.workspace import Workspace
from ranking.artifacts import load_as
from ranking.representation.factor_mapping import FactorMapping
from ranking.splits import Protocol, Split, served_protocol
from ranking.strategy.fit import Window, divisions, newcomers
from ranking.strategy.hybrid import HybridConfig
from ranking.strategy.tuned import TunedModels
from ranking.types import Interactions

CONFIG: Final = HybridConfig()
WINDOWS: Final = CONFIG.windows + 1  # one to be asked, the others to learn from
FIRST: Final = "first"  # the window of users after their first events
RESERVED: Final = "reserved.json"  # which generators have places of their own in a protocol's union, and which no vote
COLD_START: Final = "cold_start.json"  # how a protocol's windows, and the served generators, rank new items


def tuned(workspace: Workspace, protocol: Protocol) -> TunedModels:
    """The configurations chosen for a protocol."""
    return load_as(workspace.home.folder("tuned_models") / f"{protocol}.json", TunedModels)


def hybrid_config(workspace: Workspace) -> HybridConfig:
    """The served path's configuration, with the votes that were chosen for its generators."""
    served = served_protocol(workspace.interactions)
    reserved = load_as(workspace.home.folder("candidate_sets") / served / RESERVED, dict[str, int])
    return replace(CONFIG, reserved=reserved)


def window_folder(artifact: Path, protocol: Protocol, number: int | str) -> Path:
    """Where an artifact keeps one window; made if it is not there."""
    folder = artifact / protocol / str(number)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def factor_mapping_folder(artifact: Path, protocol: Protocol) -> Path:
    """Where an artifact keeps what all windows of a protocol predict audiences by; made if it is not there."""
    folder = artifact / protocol / "factor_mapping"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def windows(workspace: Workspace, artifact: str, protocol: Protocol) -> Iterator[tuple[int, Window]]:
    """The windows that an artifact keeps of a protocol, the latest first."""
    kept = workspace.home.folder(artifact)
    divided = divisions(workspace.interactions, protocol, WINDOWS)
    if not divided:
        return
    mapping = FactorMapping.load(factor_mapping_folder(kept, protocol))
    for number, division in enumerate(divided):
        yield number, Window.load(window_folder(kept, protocol, number), division, mapping)


def newcomer_window(workspace: Workspace, artifact: str, protocol: Protocol) -> Window | None:
    """The window that short histories are learned from, of P1's training part; None where too few came late."""
    kept = workspace.home.folder(artifact)
    division = newcomer_division(workspace)
    if division is None or not (kept / protocol / FIRST).is_dir():
        return None
    mapping = FactorMapping.load(factor_mapping_folder(kept, Protocol.P1))
    return Window.load(window_folder(kept, protocol, FIRST), division, mapping)


def taught_short(log: Interactions) -> tuple[Protocol, ...]:
    """Protocols with a ranker of short histories of their own: a dataset's own split says nothing of first events."""
    return () if log.part is not None else (Protocol.P1, served_protocol(log))


def newcomer_division(workspace: Workspace) -> Split | None:
    """The users who came last in P1's training part, after their first events; None where too few did."""
    log = workspace.interactions
    divided = divisions(log, Protocol.P1, 1) if taught_short(log) else []
    return newcomers(divided[0].train, CONFIG.routes) if divided else None
