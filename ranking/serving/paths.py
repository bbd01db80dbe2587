"""Ids as segments of a path: an encoded slash belongs to the id, one that is not encoded parts two segments.

Servers decode a path before anything sees it, and then both are alike. So the path is decoded again here, segment by
segment, and what would part or hide segments stays encoded until the id is read. Whoever looks at a path, the guard as
well as the router, sees the same one.
"""

from typing import Annotated, Final
from urllib.parse import quote, unquote

from pydantic import BeforeValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from ranking.serving.payloads import Id

_SLASH: Final = "%2F"
_PERCENT: Final = "%25"


def decoded(raw: str) -> str:
    """A path whose segments are decoded, but for slashes and percent signs in them.

    >>> decoded("/v1/items/a%2Fb%20c%2525/similar")
    '/v1/items/a%2Fb c%2525/similar'
    """
    segments = (unquote(one).replace("%", _PERCENT).replace("/", _SLASH) for one in raw.split("/"))
    return "/".join(segments)


def _id_of(segment: object) -> object:
    if not isinstance(segment, str):
        return segment
    return segment.replace(_SLASH, "/").replace(_PERCENT, "%")


# An id that is a segment of a path; clients encode it, with its slashes, as `encodeURIComponent` does
PathId = Annotated[Id, BeforeValidator(_id_of)]


class SegmentsApart:
    """Middleware that gives all others the path as `decoded` has it; to stand before every one that reads a path."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the path decoded anew where anything in it is encoded."""
        raw: bytes | None = scope.get("raw_path")
        if raw is None:  # a server need not give it; then an encoded slash is one that parts segments
            raw = quote(scope.get("path", "")).encode()
        if b"%" in raw:
            scope = {**scope, "path": decoded(raw.decode("ascii", "replace"))}
        await self._app(scope, receive, send)
