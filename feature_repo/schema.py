"""Every column name and Arrow schema, written once.

Ids are strings, times are UTC microseconds. A dataset's further columns (a film's year, a user's occupation) stand
behind the ones named here and travel along unchanged.
"""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

TIMESTAMP = pa.timestamp("us", tz="UTC")

ITEM_ID = "item_id"
USER_ID = "user_id"
TITLE = "title"
DESCRIPTION = "description"
CATEGORIES = "categories"
CREATED_AT = "created_at"
IMAGE = "image"
AUDIO = "audio"
VIDEO = "video"

EVENT_ID = "event_id"
KIND = "kind"
VALUE = "value"
OCCURRED_AT = "occurred_at"
SESSION_ID = "session_id"
DEVICE = "device"
PLACE = "place"
REQUEST_ID = "request_id"
POSITION = "position"
PROPENSITY = "propensity"

# Optional, of a dataset that brings a split of its own; it stays beside the event log, as it is no fact of the event.
PART = "part"

RETRIEVAL = "retrieval_v1"  # the feature services, by name
RANKING = "ranking_v1"

# Derived from an event's kind and value by the dataset's EventKinds (see `label_events`).
WEIGHT = "weight"
POSITIVE = "positive"

EVENT_TIMESTAMP = "event_timestamp"  # Feast's name for the moment that a feature row describes
CREATED_TIMESTAMP = "created_timestamp"  # when that row was written

ITEMS = pa.schema(
    [
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(TITLE, pa.string()),
        pa.field(DESCRIPTION, pa.string()),
        pa.field(CATEGORIES, pa.list_(pa.string()), nullable=False),
        pa.field(CREATED_AT, TIMESTAMP),
        pa.field(IMAGE, pa.string()),  # path relative to the dataset's media root
        pa.field(AUDIO, pa.string()),  # path relative to the dataset's media root
        pa.field(VIDEO, pa.string()),  # path relative to the dataset's media root
    ]
)

USERS = pa.schema([pa.field(USER_ID, pa.string(), nullable=False)])

EVENTS = pa.schema(
    [
        pa.field(EVENT_ID, pa.string(), nullable=False),
        pa.field(USER_ID, pa.string(), nullable=False),
        pa.field(ITEM_ID, pa.string(), nullable=False),
        pa.field(KIND, pa.string(), nullable=False),
        pa.field(VALUE, pa.float32()),
        pa.field(OCCURRED_AT, TIMESTAMP, nullable=False),
        pa.field(SESSION_ID, pa.string()),
        pa.field(DEVICE, pa.string()),
        pa.field(PLACE, pa.string()),
        pa.field(REQUEST_ID, pa.string()),
        pa.field(POSITION, pa.int32()),
        pa.field(PROPENSITY, pa.float32()),
    ]
)

LABELLED_EVENTS = EVENTS.append(pa.field(WEIGHT, pa.float32(), nullable=False)).append(
    pa.field(POSITIVE, pa.bool_(), nullable=False)
)


class Modality(StrEnum):
    """What an item can be perceived by."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"


class SplitPart(StrEnum):
    """What a dataset's own split uses an event for."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True)
class EventKind:
    """What one kind of event says.

    weight: strength as an interaction; 0 marks a mere exposure (an impression), which is no interaction at all.
    positive: whether it says that the user liked the item.
    positive_from: if set, only from this value on (4 stars, half a video watched).
    """

    name: str
    weight: float = 1.0
    positive: bool = True
    positive_from: float | None = None
