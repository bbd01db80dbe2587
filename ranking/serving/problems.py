"""Errors over HTTP: RFC 9457 problem details."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request

from feature_repo.errors import EventLogError, FeatureRepoError, StoreUnavailableError
from ranking.errors import GoneError, NotReadyError, RankingError, RuleError
from ranking.serving.faults import Fault, in_rules, in_words
from ranking.serving.guard.headers import SECURITY

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1  # of what is on its way

_UNAVAILABLE: Final = (NotReadyError, EventLogError, StoreUnavailableError)


class Problem(BaseModel):
    """RFC 9457 problem details; `faults` names each field that is wrong."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    faults: list[Fault] = []


def problem(
    status: int, detail: str, faults: Iterable[Fault] = (), *, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """A response that says what is wrong."""
    body = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, faults=list(faults))
    again = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    content = body.model_dump(exclude_none=True)
    return JSONResponse(content, status_code=status, headers={**again, **(headers or {})}, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Let every error that is raised on purpose end as a problem."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RankingError, _ours)
    app.add_exception_handler(FeatureRepoError, _ours)
    app.add_exception_handler(Exception, _unexpected)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """A body that is no JSON, or JSON of another form."""
    assert isinstance(error, RequestValidationError)
    faults = in_words(error.errors())
    broken = any(one["type"] == "json_invalid" for one in error.errors())
    return problem(400 if broken else 422, "; ".join(fault.text for fault in faults), faults)


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    faults = in_rules(error.faults) if isinstance(error, RuleError) else []
    return problem(_status(error), str(error), faults)


def _status(error: Exception) -> int:
    if isinstance(error, GoneError):
        return 404
    return 503 if isinstance(error, _UNAVAILABLE) else 422


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    """A fault of ours; Starlette answers outside all middleware, and raises it again for the server's log."""
    return problem(500, "an unexpected error; its trace is in the server's log", headers=SECURITY)
