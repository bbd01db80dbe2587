"""What happened, in the memory of a release that answers."""

from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from ranking.serving.answer import Loaded
from ranking.serving.histories import Histories
from ranking.serving.labelled import interactions, labelled
from ranking.serving.recorded import Recorded


def knowing(loaded: Loaded, events: pa.Table) -> Loaded:
    """A release that knows these events and no other."""
    known = labelled(events, loaded.kinds)
    loaded.pages.begin(known)
    return replace(loaded, histories=Histories(interactions(known, loaded.catalogue.index)), recorded=Recorded(known))


def remember(loaded: Loaded, events: pa.Table) -> None:
    """Let a release know further events."""
    known = labelled(events, loaded.kinds)
    loaded.recorded.add(known)
    loaded.histories.add(interactions(known, loaded.catalogue.index))
    loaded.pages.remember(known)


def last_of(events: pa.Table, before: datetime | None = None) -> datetime | None:
    """When the last of some events occurred, or what was known before if that is later; None without any."""
    last: datetime | None = pc.max(events[schema.OCCURRED_AT]).as_py()
    return max((one for one in (last, before) if one is not None), default=None)
