"""Routes of one body and one answer, between which nothing is done but to make the one of the other."""

from collections.abc import Callable, Coroutine
from typing import Any, Final, get_type_hints

from fastapi.concurrency import run_in_threadpool
from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

JSON: Final = "application/json"


class Direct(APIRoute):
    """A route whose endpoint takes a model, the body, and returns one, the answer; no `async` one.

    pydantic makes the model of the body's bytes and bytes of the answer, in the thread that the endpoint runs in.
    FastAPI's own way takes another thread and a millisecond more for what such a route does not use. What is no JSON,
    or of another form, goes that way: it says what is wrong.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for what answers a request."""
        otherwise, endpoint = super().get_route_handler(), self.endpoint
        asked, told = map(TypeAdapter, get_type_hints(endpoint).values())

        def answered(body: bytes) -> bytes | None:
            """None for a body that the endpoint does not take."""
            try:
                request = asked.validate_json(body)
            except ValidationError:
                return None
            return told.dump_json(endpoint(request))

        async def handle(request: Request) -> Response:
            try:
                body = await request.body()
            except ClientDisconnect as error:
                raise HTTPException(400, "the body ended early") from error
            if _is_json(request.headers.get("content-type", "")):
                content = await run_in_threadpool(answered, body)
                if content is not None:
                    return Response(content, media_type=JSON)
            return await otherwise(request)

        return handle


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == JSON
