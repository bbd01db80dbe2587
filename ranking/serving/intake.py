"""Posted events, one by one: what may enter the log, and why the rest may not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import uuid4

import pyarrow as pa
from pydantic import ValidationError

from feature_repo import schema
from feature_repo.schema import EventKind
from ranking.serving.answers import Answers, Given
from ranking.serving.faults import in_words
from ranking.serving.payloads import PostedEvent, Refused, Unmatched
from ranking.types import UNKNOWN, IdIndex

TOLERANCE: Final = timedelta(minutes=5)  # how far a client's clock may be ahead
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Gate:
    """What an event may say. now: the moment of events that name none. latest: none may be later.

    answers: given lately; an event that names one takes its item's position (from 0) and propensity from it,
    where it says none itself.
    """

    kinds: Mapping[str, EventKind]
    items: IdIndex
    now: datetime
    latest: datetime
    answers: Answers

    def read(self, posted: Sequence[object]) -> tuple[pa.Table, list[Refused], list[Unmatched]]:
        """The good ones as `schema.EVENTS` in their order, the others by place and reason, and what fits no answer."""
        rows, refused, unmatched = [], [], []
        for index, one in enumerate(posted):
            try:
                event = PostedEvent.model_validate(one)
            except ValidationError as error:
                refused.append(Refused(index=index, reason="; ".join(fault.text for fault in in_words(error.errors()))))
                continue
            reason = self._objection(event)
            if reason:
                refused.append(Refused(index=index, reason=reason))
                continue
            given = self.answers.of(event.request_id) if event.request_id is not None else None
            if given is not None and event.item_id not in given.items:
                unmatched.append(
                    Unmatched(
                        index=index,
                        reason=f"item_id {event.item_id!r}: not in the answer {event.request_id!r} that it names",
                    )
                )
            rows.append(self._row(event, given))
        return pa.Table.from_pylist(rows, schema.EVENTS), refused, unmatched

    def _objection(self, event: PostedEvent) -> str:
        """Why the event cannot be taken, empty if it can."""
        if event.kind not in self.kinds:
            return f"kind {event.kind!r}: unknown; accepted are {', '.join(sorted(self.kinds))}"
        if self.items.codes([event.item_id])[0] == UNKNOWN:
            return f"item_id {event.item_id!r}: not in the catalogue of this release; add the item and build a release"
        moment = event.occurred_at
        if moment is not None and not EARLIEST <= moment <= self.latest:
            return (
                f"occurred_at {moment.isoformat()}: accepted is from 1970 up to now ({self.latest.isoformat()}, with "
                "5 minutes of tolerance); set the sender's clock right, or leave the field out"
            )
        return ""

    def _row(self, event: PostedEvent, given: Given | None) -> dict[str, object]:
        place = None if given is None else given.items.get(event.item_id)
        said = {
            schema.EVENT_ID: event.event_id or uuid4().hex,
            schema.OCCURRED_AT: event.occurred_at or self.now,
        }
        told = {} if place is None else {schema.POSITION: place.rank - 1, schema.PROPENSITY: place.propensity}
        return event.model_dump() | said | {name: value for name, value in told.items() if getattr(event, name) is None}


def first_of_each(events: pa.Table, known: set[str]) -> pa.Table:
    """The first event of every id that is not known."""
    rows: dict[str, int] = {}
    for row, event_id in enumerate(events[schema.EVENT_ID].to_pylist()):
        if event_id not in known:
            rows.setdefault(event_id, row)
    return events.take(pa.array(rows.values(), pa.int64()))
