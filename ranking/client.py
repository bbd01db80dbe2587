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
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from ranking.serving.faults import Fault
from ranking.serving.feature_payloads import OnlineFeatures, OnlineFeaturesRequest
from ranking.serving.payloads import (
    PostedEvent,
    Ready,
    Receipt,
    Request,
    Response,
    Similar,
)

_AGAIN: Final = frozenset({429, 503})

Answer = TypeVar("Answer", bound=BaseModel)


class TrichordError(Exception):
    """Root of all errors of a client."""


class UnreachableError(TrichordError):
    """No answer: no connection, or not in time."""


class ProblemError(TrichordError):
    """An answer that is a problem. faults: what is wrong, field by field; retry_after_s: when to ask again."""

    def __init__(self, status: int, detail: str, faults: Sequence[Fault], retry_after_s: float | None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail, self.faults, self.retry_after_s = status, detail, tuple(faults), retry_after_s


class RefusedError(ProblemError):
    """The request cannot be honoured as it is."""


class ForbiddenError(ProblemError):
    """No API key, or one that has not the scope."""


class TooManyError(ProblemError):
    """Ask less often."""


class UnavailableError(ProblemError):
    """The server cannot answer now."""


@dataclass(frozen=True)
class Retries:
    """How often and after which pauses a call is tried again.

    pause_s: before the first; each further one is twice as long, up to longest_s. A random half of each is left out,
    so that clients that failed together do not come back together. `Retry-After` wins where it is longer, and ends the
    tries where it is beyond `longest_s`.
    """

    times: int = 4
    pause_s: float = 0.1
    longest_s: float = 10.0
    draw: random.Random = field(default_factory=random.Random, repr=False)

    def pause(self, tried: int, error: TrichordError) -> float | None:
        """Seconds to wait after so many tries, None to give up."""
        again = isinstance(error, UnreachableError) or (isinstance(error, ProblemError) and error.status in _AGAIN)
        wanted = error.retry_after_s if isinstance(error, ProblemError) else None
        if not again or tried > self.times or (wanted or 0.0) > self.longest_s:
            return None
        mine = min(self.pause_s * 2.0 ** (tried - 1), self.longest_s) * self.draw.uniform(0.5, 1.0)
        return max(mine, wanted or 0.0)


@dataclass(frozen=True)
class _Call:
    """A request, and nothing of how it is sent."""

    method: str
    path: str
    body: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)


def _recommend(request: Request) -> _Call:
    return _Call("POST", "/v1/recommendations", request.model_dump_json(exclude_unset=True))


def _similar(item_id: str, k: int, by: str) -> _Call:
    return _Call("GET", f"/v1/items/{quote(item_id, safe='')}/similar", query={"k": str(k), "by": by})


def _events(events: Sequence[PostedEvent]) -> _Call:
    named = [one if one.event_id else one.model_copy(update={"event_id": uuid.uuid4().hex}) for one in events]
    return _Call("POST", "/v1/events", f"[{','.join(one.model_dump_json(exclude_none=True) for one in named)}]")


def _online_features(request: OnlineFeaturesRequest) -> _Call:
    return _Call("POST", "/get-online-features", request.model_dump_json(exclude_unset=True))


_READY: Final = _Call("GET", "/health/ready")


def _read(answer: httpx.Response, kind: type[Answer]) -> Answer:
    """An answer of that kind; raises what it says instead."""
    if answer.is_success:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError as error:
            raise TrichordError(f"{answer.url}: no {kind.__name__} ({error}); is that a Trichord server?") from error
    raise _error(answer)


def _error(answer: httpx.Response) -> ProblemError:
    status, after = answer.status_code, answer.headers.get("Retry-After", "")
    try:
        told = _Problem.model_validate_json(answer.content)
    except ValidationError:  # of a proxy, perhaps
        told = _Problem(detail=answer.text[:200] or answer.reason_phrase)
    kind = _KINDS.get(status, UnavailableError if status >= 500 else RefusedError)
    return kind(status, told.detail, told.faults, float(after) if after.isdigit() else None)


_KINDS: Final = {401: ForbiddenError, 403: ForbiddenError, 429: TooManyError}


class _Problem(BaseModel):
    detail: str
    faults: list[Fault] = []


def _headers(key: str | None) -> dict[str, str]:
    given = {"Content-Type": "application/json", "Accept": "application/json"}
    return given if key is None else given | {"Authorization": f"Bearer {key}"}


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
        self._http = httpx.Client(base_url=address, headers=_headers(key), timeout=timeout_s)
        self._retries = retries or Retries()

    def recommend(self, request: Request) -> Response:
        """Items for a user or a session."""
        return self._ask(_recommend(request), Response)

    def similar(self, item_id: str, *, k: int = 10, by: str = "all") -> Similar:
        """Items near an item; by: `text`, `image`, `audio` or `behaviour` alone, or `all`."""
        return self._ask(_similar(item_id, k, by), Similar)

    def send_events(self, events: Sequence[PostedEvent]) -> Receipt:
        """Tell what happened; those without an id are given one. Raises RefusedError where not one was taken."""
        return self._ask(_events(events), Receipt)

    def online_features(self, request: OnlineFeaturesRequest) -> OnlineFeatures:
        """Online features of some entities."""
        return self._ask(_online_features(request), OnlineFeatures)

    def ready(self) -> Ready:
        """The release that answers; UnavailableError before there is one."""
        return self._ask(_READY, Ready)

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, call: _Call, kind: type[Answer]) -> Answer:
        tried = 0
        while True:
            try:
                return self._once(call, kind)
            except TrichordError as error:
                tried += 1
                pause = self._retries.pause(tried, error)
                if pause is None:
                    raise
                time.sleep(pause)

    def _once(self, call: _Call, kind: type[Answer]) -> Answer:
        try:
            answer = self._http.request(call.method, call.path, content=call.body, params=call.query)
        except httpx.TransportError as error:
            raise UnreachableError(f"{self._http.base_url}: no answer ({error or type(error).__name__})") from error
        return _read(answer, kind)


class AsyncClient:
    """The calls of `Client`, to await; arguments as there."""

    def __init__(
        self, address: str, *, key: str | None = None, timeout_s: float = 10.0, retries: Retries | None = None
    ) -> None:
        self._http = httpx.AsyncClient(base_url=address, headers=_headers(key), timeout=timeout_s)
        self._retries = retries or Retries()

    async def recommend(self, request: Request) -> Response:
        """Items for a user or a session."""
        return await self._ask(_recommend(request), Response)

    async def similar(self, item_id: str, *, k: int = 10, by: str = "all") -> Similar:
        """Items near an item; by: `text`, `image`, `audio` or `behaviour` alone, or `all`."""
        return await self._ask(_similar(item_id, k, by), Similar)

    async def send_events(self, events: Sequence[PostedEvent]) -> Receipt:
        """Tell what happened; those without an id are given one. Raises RefusedError where not one was taken."""
        return await self._ask(_events(events), Receipt)

    async def online_features(self, request: OnlineFeaturesRequest) -> OnlineFeatures:
        """Online features of some entities."""
        return await self._ask(_online_features(request), OnlineFeatures)

    async def ready(self) -> Ready:
        """The release that answers; UnavailableError before there is one."""
        return await self._ask(_READY, Ready)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _ask(self, call: _Call, kind: type[Answer]) -> Answer:
        tried = 0
        while True:
            try:
                return await self._once(call, kind)
            except TrichordError as error:
                tried += 1
                pause = self._retries.pause(tried, error)
                if pause is None:
                    raise
                await asyncio.sleep(pause)

    async def _once(self, call: _Call, kind: type[Answer]) -> Answer:
        try:
            answer = await self._http.request(call.method, call.path, content=call.body, params=call.query)
        except httpx.TransportError as error:
            raise UnreachableError(f"{self._http.base_url}: no answer ({error or type(error).__name__})") from error
        return _read(answer, kind)
