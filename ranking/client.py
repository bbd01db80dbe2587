"""A client of the HTTP API: typed calls, errors as exceptions, retries where asking again does no harm.

    with Client("http://127.0.0.1:8080", key="...") as client:
        for item in client.recommend(Request(user_id="u00017")).items:
            print(item.item_id, item.title)

All calls may be repeated: reading changes nothing, and events are given an id before they are first sent, so that they
count once. So a call is tried again after a failed connection, 429 and 503, with growing, random pauses, or as long as
the server's `Retry-After` says. `AsyncClient` has the same calls to await. Only httpx and pydantic are imported.

TrichordError
├── UnreachableError      no answer: no connection, or not in time
└── ProblemError          an answer that is a problem: `status`, `detail`, `faults`
    ├── RefusedError      400, 404, 413, 422: the request cannot be honoured
    ├── ForbiddenError    401, 403: no key, or one without the scope
    ├── TooManyError      429: ask less often
    └── UnavailableError  5xx: the server cannot answer now
"""

import asyncio
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import JsonValue

from ranking.calls import endpoints
from ranking.calls.call import Call, headers
from ranking.calls.endpoints import MediaContent
from ranking.calls.errors import (
    ForbiddenError,
    ProblemError,
    RefusedError,
    TooManyError,
    TrichordError,
    UnavailableError,
    UnreachableError,
)
from ranking.calls.retries import Retries
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

__all__ = [
    "AsyncClient",
    "Client",
    "ForbiddenError",
    "MediaContent",
    "ProblemError",
    "RefusedError",
    "Retries",
    "TooManyError",
    "TrichordError",
    "UnavailableError",
    "UnreachableError",
]

Answer = TypeVar("Answer")


class Client:
    """Calls that wait for their answer; any number of threads may use one.

    Args:
        address: of the server, such as `http://127.0.0.1:8080`.
        key: API key, where the server asks for one.
        timeout_s: for a connection, and between two parts of an answer; not of all tries together.
        retries: `Retries(times=0)` for none.
    """

    def __init__(
        self, address: str, *, key: str | None = None, timeout_s: float = 10.0, retries: Retries | None = None
    ) -> None:
        self._http = httpx.Client(base_url=address, headers=headers(key), timeout=timeout_s)
        self._retries = retries or Retries()

    def recommend(self, request: Request) -> Response:
        """Items for a user or a session."""
        return self._ask(endpoints.recommend(request))

    def rank(self, request: RankRequest) -> Response:
        """Exactly the given items, in their order for a user or a session."""
        return self._ask(endpoints.rank(request))

    def explanation(self, request_id: str) -> Explanation:
        """Why an earlier answer held its items; RefusedError (404) where the asked process does not remember it."""
        return self._ask(endpoints.explanation(request_id))

    def check_rules(self, rules: RulesToCheck) -> CheckedRules:
        """What is wrong with rules."""
        return self._ask(endpoints.check_rules(rules))

    def similar(self, item_id: str, *, k: int = 10, by: str = "all") -> Similar:
        """Items near an item; by: `text`, `image`, `audio` or `behaviour` alone, or `all`."""
        return self._ask(endpoints.similar(item_id, k, by))

    def item(self, item_id: str) -> ItemDetails:
        """All that is known of an item; RefusedError (404) for one that is not."""
        return self._ask(endpoints.item(item_id))

    def items(self, search: str = "", *, limit: int = 20, order: Sorting = Sorting.POPULAR) -> ListedItems:
        """Items whose title or id holds a text, or all; at most 100."""
        return self._ask(endpoints.items(search, limit, order))

    def named_items(self, item_ids: Sequence[str]) -> ListedItems:
        """These items, at most 100, in their order; unknown ones are left out."""
        return self._ask(endpoints.named_items(item_ids))

    def users(self, prefix: str = "", *, limit: int = 20) -> ListedUsers:
        """Users whose id begins so, the most active first; at most 100."""
        return self._ask(endpoints.users(prefix, limit))

    def choices(self) -> Choices:
        """What requests and events may name."""
        return self._ask(endpoints.choices())

    def media(self, item_id: str, kind: MediaKind) -> MediaContent:
        """An item's own picture or sound; RefusedError (404) where there is none."""
        return self._ask(endpoints.media(item_id, kind))

    def send_events(self, events: Sequence[PostedEvent]) -> Receipt:
        """Tell what happened; those without an id are given one. Raises RefusedError where not one was taken."""
        return self._ask(endpoints.send_events(events))

    def online_features(self, request: OnlineFeaturesRequest) -> OnlineFeatures:
        """Online features of some entities."""
        return self._ask(endpoints.online_features(request))

    def online_features_arrow(self, request: OnlineFeaturesRequest) -> bytes:
        """The same as an Arrow IPC stream, a row an id: `pyarrow.ipc.open_stream` reads it."""
        return self._ask(endpoints.online_features_arrow(request))

    def dashboard(self) -> dict[str, JsonValue]:
        """Evaluation, freshness, suites, releases and traffic, as JSON."""
        return self._ask(endpoints.dashboard())

    def metrics(self) -> str:
        """What the asked process measures of itself, as Prometheus reads it."""
        return self._ask(endpoints.metrics())

    def live(self) -> Live:
        """That the process runs."""
        return self._ask(endpoints.live())

    def ready(self) -> Ready:
        """The release that answers; UnavailableError before there is one."""
        return self._ask(endpoints.ready())

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: Call[Answer]) -> Answer:
        tried = 0
        while True:
            tried += 1
            try:
                return call.read(self._http.send(_request(self._http, call)))
            except httpx.TransportError as error:
                pause = self._retries.pause(tried, _unreachable(self._http, error))
            except TrichordError as error:
                pause = self._retries.pause(tried, error)
            time.sleep(pause)


class AsyncClient:
    """The calls of `Client`, to await; arguments as there."""

    def __init__(
        self, address: str, *, key: str | None = None, timeout_s: float = 10.0, retries: Retries | None = None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=headers(key), timeout=timeout_s)
        self._retries = retries or Retries()

    async def recommend(self, request: Request) -> Response:
        """Items for a user or a session."""
        return await self._ask(endpoints.recommend(request))

    async def rank(self, request: RankRequest) -> Response:
        """Exactly the given items, in their order for a user or a session."""
        return await self._ask(endpoints.rank(request))

    async def explanation(self, request_id: str) -> Explanation:
        """Why an earlier answer held its items; RefusedError (404) where the asked process does not remember it."""
        return await self._ask(endpoints.explanation(request_id))

    async def check_rules(self, rules: RulesToCheck) -> CheckedRules:
        """What is wrong with rules."""
        return await self._ask(endpoints.check_rules(rules))

    async def similar(self, item_id: str, *, k: int = 10, by: str = "all") -> Similar:
        """Items near an item; by: `text`, `image`, `audio` or `behaviour` alone, or `all`."""
        return await self._ask(endpoints.similar(item_id, k, by))

    async def item(self, item_id: str) -> ItemDetails:
        """All that is known of an item; RefusedError (404) for one that is not."""
        return await self._ask(endpoints.item(item_id))

    async def items(self, search: str = "", *, limit: int = 20, order: Sorting = Sorting.POPULAR) -> ListedItems:
        """Items whose title or id holds a text, or all; at most 100."""
        return await self._ask(endpoints.items(search, limit, order))

    async def named_items(self, item_ids: Sequence[str]) -> ListedItems:
        """These items, at most 100, in their order; unknown ones are left out."""
        return await self._ask(endpoints.named_items(item_ids))

    async def users(self, prefix: str = "", *, limit: int = 20) -> ListedUsers:
        """Users whose id begins so, the most active first; at most 100."""
        return await self._ask(endpoints.users(prefix, limit))

    async def choices(self) -> Choices:
        """What requests and events may name."""
        return await self._ask(endpoints.choices())

    async def media(self, item_id: str, kind: MediaKind) -> MediaContent:
        """An item's own picture or sound; RefusedError (404) where there is none."""
        return await self._ask(endpoints.media(item_id, kind))

    async def send_events(self, events: Sequence[PostedEvent]) -> Receipt:
        """Tell what happened; those without an id are given one. Raises RefusedError where not one was taken."""
        return await self._ask(endpoints.send_events(events))

    async def online_features(self, request: OnlineFeaturesRequest) -> OnlineFeatures:
        """Online features of some entities."""
        return await self._ask(endpoints.online_features(request))

    async def online_features_arrow(self, request: OnlineFeaturesRequest) -> bytes:
        """The same as an Arrow IPC stream, a row an id: `pyarrow.ipc.open_stream` reads it."""
        return await self._ask(endpoints.online_features_arrow(request))

    async def dashboard(self) -> dict[str, JsonValue]:
        """Evaluation, freshness, suites, releases and traffic, as JSON."""
        return await self._ask(endpoints.dashboard())

    async def metrics(self) -> str:
        """What the asked process measures of itself, as Prometheus reads it."""
        return await self._ask(endpoints.metrics())

    async def live(self) -> Live:
        """That the process runs."""
        return await self._ask(endpoints.live())

    async def ready(self) -> Ready:
        """The release that answers; UnavailableError before there is one."""
        return await self._ask(endpoints.ready())

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, call: Call[Answer]) -> Answer:
        tried = 0
        while True:
            tried += 1
            try:
                return call.read(await self._http.send(_request(self._http, call)))
            except httpx.TransportError as error:
                pause = self._retries.pause(tried, _unreachable(self._http, error))
            except TrichordError as error:
                pause = self._retries.pause(tried, error)
            await asyncio.sleep(pause)


def _request(http: httpx.Client | httpx.AsyncClient, call: Call[Answer]) -> httpx.Request:
    return http.build_request(
        call.method, call.path, content=call.body, params=call.query, headers={"Accept": call.accept}
    )


def _unreachable(http: httpx.Client | httpx.AsyncClient, error: httpx.TransportError) -> UnreachableError:
    return UnreachableError(f"{http.base_url}: no answer ({error or type(error).__name__})")
