"""What a client chooses from: users, items and the values that requests and events may name."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, JsonValue

MediaKind = Literal["image", "audio"]


class Sorting(StrEnum):
    """Which items come first: those with the most events, or the newest."""

    POPULAR = "popular"
    NEWEST = "newest"


class ListedUser(BaseModel):
    """A user. events: how many of theirs have a weight and an item that the release knows."""

    user_id: str
    events: int


class ListedUsers(BaseModel):
    """Users whose id begins as asked, the most active first."""

    users: list[ListedUser]


class ListedItem(BaseModel):
    """What a list shows of an item. image, audio: whether it names a file, which `/media` sends.

    events: how many with a weight the release was loaded with.
    """

    item_id: str
    title: str | None
    categories: list[str]
    created_at: datetime | None
    image: bool
    audio: bool
    events: int


class ListedItems(BaseModel):
    """Items in the order that was asked for."""

    items: list[ListedItem]


class ItemDetails(ListedItem):
    """An item with all that its dataset says of it.

    attributes: columns beside the ones that every dataset has. modalities: by which it has neighbours.
    """

    description: str | None
    attributes: dict[str, JsonValue]
    modalities: list[str]
    release: str


class ChoosableKind(BaseModel):
    """A kind of event. positive: whether it says that the user liked the item; positive_from: only from this value."""

    name: str
    weight: float
    positive: bool
    positive_from: float | None


class Category(BaseModel):
    """A category and how many items have it."""

    name: str
    items: int


class ListedRelease(BaseModel):
    """A release that can answer."""

    id: str
    created_at: datetime
    current: bool


class Choices(BaseModel):
    """What requests and events may name.

    now: the clock of the data, at which a request that names no time is answered. devices, places: of the events.
    categories: the most frequent first. modalities: spaces in which items have neighbours.
    """

    release: str
    dataset: str
    now: datetime
    devices: list[str]
    places: list[str]
    kinds: list[ChoosableKind]
    categories: list[Category]
    modalities: list[str]
    generators: list[str]
    releases: list[ListedRelease]
