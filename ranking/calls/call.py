"""A request as it is sent, and how its answer is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from ranking.calls.errors import (
    ForbiddenError,
    ProblemError,
    RefusedError,
    TooManyError,
    TrichordError,
    UnavailableError,
)
from ranking.serving.faults import Fault

JSON: Final = "application/json"

Answer = TypeVar("Answer")
Payload = TypeVar("Payload", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[Answer]):
    """A request. reader: makes the answer of a response that is no problem. query: names may come twice."""

    method: str
    path: str
    reader: Callable[[httpx.Response], Answer]
    body: str | None = None
    query: tuple[tuple[str, str], ...] = ()
    accept: str = JSON

    def read(self, response: httpx.Response) -> Answer:
        """The answer; raises what the response says instead."""
        if not response.is_success:
            raise _error(response)
        return self.reader(response)


def headers(key: str | None) -> dict[str, str]:
    """Of every request. key: API key, if any."""
    given = {"Content-Type": JSON}
    return given if key is None else given | {"Authorization": f"Bearer {key}"}


def payload(kind: type[Payload]) -> Callable[[httpx.Response], Payload]:
    """Read JSON of that kind; TrichordError where it is none."""

    def read(response: httpx.Response) -> Payload:
        try:
            return kind.model_validate_json(response.content)
        except ValidationError as error:
            raise TrichordError(f"{response.url}: no {kind.__name__} ({error}); is that a Trichord server?") from error

    return read


class _Problem(BaseModel):
    detail: str
    faults: list[Fault] = []


_KINDS: Final = {401: ForbiddenError, 403: ForbiddenError, 429: TooManyError}


def _error(response: httpx.Response) -> ProblemError:
    status, after = response.status_code, response.headers.get("Retry-After", "")
    try:
        told = _Problem.model_validate_json(response.content)
    except ValidationError:  # of a proxy, perhaps
        told = _Problem(detail=response.text[:200] or response.reason_phrase)
    kind = _KINDS.get(status, UnavailableError if status >= 500 else RefusedError)
    return kind(status, told.detail, told.faults, float(after) if after.isdigit() else None)
