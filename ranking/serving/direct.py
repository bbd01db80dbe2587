"""Routes of one body and one answer, between which nothing is done but to make the one of the other."""

from asyncio import get_running_loop
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, get_type_hints

from fastapi.requests import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

JSON: Final = "application/json"
AT_ONCE: Final = 40  # requests of one route that are in threads, as of all other routes by Starlette's default


class Direct(APIRoute):
    """A route whose endpoint takes a model, the body, and returns one, the answer; no `async` one.

    pydantic makes the model of the body's bytes and bytes of the answer, in the thread that the endpoint runs in.
    FastAPI's own way takes another thread and a millisecond more for what such a route does not use, and AnyIO's way
    into a thread, with its scopes of cancellation, a quarter of the event loop's time for a request. What is no JSON,
    or of another form, goes FastAPI's way: it says what is wrong.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's hook for what answers a request."""
        otherwise, endpoint = super().get_route_handler(), self.endpoint
        asked, told = map(TypeAdapter, get_type_hints(endpoint).values())
        threads = ThreadPoolExecutor(AT_ONCE, "direct")  # which begin when they are needed

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
                content = await get_running_loop().run_in_executor(threads, answered, body)
                if content is not None:
                    return Response(content, media_type=JSON)
            return await otherwise(request)

        return handle


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == JSON
