"""What a release makes of events."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.labels import label_events
from feature_repo.schema import EventKind
from ranking.types import IdIndex, Interactions


def labelled(events: pa.Table, kinds: Mapping[str, EventKind]) -> pa.Table:
    """Events of the kinds that a release knows, as `schema.LABELLED_EVENTS`."""
    return label_events(
        events.filter(pc.is_in(events[schema.KIND], pa.array(kinds, pa.string()))), list(kinds.values())
    )


def interactions(events: pa.Table, items: IdIndex) -> Interactions:
    """Labelled events with a weight, over all users whom they name and the items of a release."""
    users = IdIndex.of(pc.unique(events[schema.USER_ID]).to_pylist())
    return Interactions.from_events(events, users=users, items=items)
