"""Routes that spend nothing on the way answer as FastAPI's own do, whatever is sent."""

import asyncio
import json
from typing import Annotated, Literal

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from ranking.serving.direct import Direct
from ranking.serving.guard.depth import LimitedDepth
from ranking.serving.problems import install

JSON = {"Content-Type": "application/json"}


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: AwareDatetime | None = None
    of: Literal["a", "b"] = "a"


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=5)] | None = None
    k: Annotated[int, Field(ge=1, le=9)] = 3
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    flag: bool = False
    ids: Annotated[tuple[str, ...], Field(max_length=3)] = ()
    part: Part = Part()


class Told(BaseModel):
    asked: Asked
    number: float
    rest: list[str]


def app_of(route_class: type[APIRoute]) -> FastAPI:
    app, router = FastAPI(), APIRouter(route_class=route_class)
    app.add_middleware(LimitedDepth)
    install(app)

    @router.post("/echo")
    def echo(asked: Asked) -> Told:
        return Told(asked=asked, number=float("inf") if asked.flag else asked.k / 7, rest=["ä", *asked.ids])

    app.include_router(router)
    return app


DIRECT, PLAIN = TestClient(app_of(Direct)), TestClient(app_of(APIRoute))

values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 10),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["3", "0.5", "true", "2026-03-14T19:30:00Z", "2026-03-14T19:30:00", "a", "\ud800"]),
    st.lists(st.text(max_size=3), max_size=4),
    st.dictionaries(st.sampled_from(["at", "of", "x"]), st.sampled_from(["a", "2026-03-14T19:30:00+01:00", 5])),
)
bodies = st.one_of(
    st.dictionaries(st.sampled_from([*Asked.model_fields, "other"]), values, max_size=4).map(json.dumps),
    values.map(json.dumps),
    st.sampled_from(
        ["", "{", "{} {}", '{"k": 1, "k": 2}', '{"k": 1,}', '{"k": 01}', "\ufeff{}", '{"k": 1e0}', "[" * 40]
    ),
).map(lambda text: text.encode("utf-8"))
kinds = st.sampled_from(
    [
        "application/json",
        "Application/JSON; charset=utf-8",
        "application/vnd.api+json",
        "application/jsonp",
        "text/plain",
        "",
    ]
)


@given(body=bodies | st.binary(max_size=9), kind=kinds)
@settings(max_examples=200, deadline=None)
def test_any_body_is_answered_as_by_fastapi(body: bytes, kind: str):
    headers = {"Content-Type": kind} if kind else {}
    ours, theirs = (one.post("/echo", content=body, headers=headers) for one in (DIRECT, PLAIN))
    assert (ours.status_code, ours.content, ours.headers) == (theirs.status_code, theirs.content, theirs.headers)


def test_both_are_described_alike():
    assert DIRECT.get("/openapi.json").json() == PLAIN.get("/openapi.json").json()


def test_an_error_of_the_endpoint_is_not_taken_for_one_of_the_body():
    app, router = FastAPI(), APIRouter(route_class=Direct)
    asked = []

    @router.post("/broken")
    def broken(given: Asked) -> Told:
        asked.append(given)
        return Told.model_validate({})

    app.include_router(router)
    with pytest.raises(ValueError, match="Told"):
        TestClient(app).post("/broken", content=b"{}", headers=JSON)
    assert len(asked) == 1


@pytest.mark.parametrize("client", [DIRECT, PLAIN])
def test_a_body_that_ends_early_is_a_bad_request(client: TestClient):
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/echo",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", b"20")],
    }
    coming = iter([{"type": "http.request", "body": b'{"k"', "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive() -> dict[str, object]:
        return next(coming)

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    asyncio.run(client.app(scope, receive, send))
    assert sent[0]["status"] == 400
