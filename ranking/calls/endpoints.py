"""Every endpoint of the API as a call."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, JsonValue, RootModel

from ranking.calls.call import Call, payload
from ranking.serving.explanation_payloads import Explanation
from ranking.serving.feature_payloads import OnlineFeatures, OnlineFeaturesRequest
from ranking.serving.listing_payloads import Choices, ItemDetails, ListedItems, ListedUsers, MediaKind, Sorting
from ranking.serving.payloads import (
    CheckedRules,
    Live,
    PostedEvent,
    RankRequest,
    Ready,
    Receipt,
    Request,
    Response,
    RulesToCheck,
    Similar,
)

ARROW: Final = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True)
class MediaContent:
    """An item's own picture or sound. content: the file's bytes. content_type: such as `image/png`."""

    content: bytes
    content_type: str


class State(RootModel[dict[str, JsonValue]]):
    """The dashboard as it is answered: `/docs` names its keys."""


def recommend(request: Request) -> Call[Response]:
    """`POST /v1/recommendations`."""
    return Call("POST", "/v1/recommendations", payload(Response), _asked(request))


def rank(request: RankRequest) -> Call[Response]:
    """`POST /v1/rank`."""
    return Call("POST", "/v1/rank", payload(Response), _asked(request))


def explanation(request_id: str) -> Call[Explanation]:
    """`GET /v1/explanations/{request_id}`."""
    return Call("GET", f"/v1/explanations/{_segment(request_id)}", payload(Explanation))


def check_rules(rules: RulesToCheck) -> Call[CheckedRules]:
    """`POST /v1/rules/check`."""
    return Call("POST", "/v1/rules/check", payload(CheckedRules), _asked(rules))


def similar(item_id: str, k: int, by: str) -> Call[Similar]:
    """`GET /v1/items/{item_id}/similar`."""
    query = (("k", str(k)), ("by", by))
    return Call("GET", f"/v1/items/{_segment(item_id)}/similar", payload(Similar), query=query)


def item(item_id: str) -> Call[ItemDetails]:
    """`GET /v1/items/{item_id}`."""
    return Call("GET", f"/v1/items/{_segment(item_id)}", payload(ItemDetails))


def items(search: str, limit: int, order: Sorting) -> Call[ListedItems]:
    """`GET /v1/items`, by what is looked for."""
    query = (("search", search), ("limit", str(limit)), ("order", str(order)))
    return Call("GET", "/v1/items", payload(ListedItems), query=query)


def named_items(item_ids: Sequence[str]) -> Call[ListedItems]:
    """`GET /v1/items`, by ids."""
    return Call("GET", "/v1/items", payload(ListedItems), query=tuple(("id", one) for one in item_ids))


def users(prefix: str, limit: int) -> Call[ListedUsers]:
    """`GET /v1/users`."""
    return Call("GET", "/v1/users", payload(ListedUsers), query=(("prefix", prefix), ("limit", str(limit))))


def choices() -> Call[Choices]:
    """`GET /v1/choices`."""
    return Call("GET", "/v1/choices", payload(Choices))


def media(item_id: str, kind: MediaKind) -> Call[MediaContent]:
    """`GET /media/{item_id}/{kind}`."""
    return Call("GET", f"/media/{_segment(item_id)}/{kind}", _media, accept="*/*")


def send_events(events: Sequence[PostedEvent]) -> Call[Receipt]:
    """`POST /v1/events`, each with an id, so that the call can be repeated."""
    named = [one if one.event_id else one.model_copy(update={"event_id": uuid.uuid4().hex}) for one in events]
    body = f"[{','.join(one.model_dump_json(exclude_none=True) for one in named)}]"
    return Call("POST", "/v1/events", payload(Receipt), body)


def online_features(request: OnlineFeaturesRequest) -> Call[OnlineFeatures]:
    """`POST /get-online-features`, as JSON."""
    return Call("POST", "/get-online-features", payload(OnlineFeatures), _asked(request))


def online_features_arrow(request: OnlineFeaturesRequest) -> Call[bytes]:
    """`POST /get-online-features`, as an Arrow IPC stream."""
    return Call("POST", "/get-online-features", lambda response: response.content, _asked(request), accept=ARROW)


def dashboard() -> Call[dict[str, JsonValue]]:
    """`GET /v1/dashboard`."""
    return Call("GET", "/v1/dashboard", lambda response: payload(State)(response).root)


def metrics() -> Call[str]:
    """`GET /metrics`."""
    return Call("GET", "/metrics", lambda response: response.text, accept="*/*")


def live() -> Call[Live]:
    """`GET /health/live`."""
    return Call("GET", "/health/live", payload(Live))


def ready() -> Call[Ready]:
    """`GET /health/ready`."""
    return Call("GET", "/health/ready", payload(Ready))


def _asked(request: BaseModel) -> str:
    return request.model_dump_json(exclude_unset=True)


def _segment(text: str) -> str:
    """An id as a part of a path, its slashes encoded."""
    return quote(text, safe="")


def _media(response: httpx.Response) -> MediaContent:
    return MediaContent(response.content, response.headers.get("Content-Type", ""))
