"""What browsers are told with every answer: to run nothing and embed nothing that is not this server's own."""

from collections.abc import Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECURITY: Final = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}

# FastAPI's pages of documentation start by a script in the page and load the rest from this network
_DOCS: Final = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; worker-src blob:; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    "font-src https://fonts.gstatic.com; img-src 'self' data: https://fastapi.tiangolo.com https://cdn.redoc.ly"
)


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI has them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


_ADDED: Final = _encoded(SECURITY)
_ADDED_TO: Final = dict.fromkeys(
    ("/docs", "/docs/oauth2-redirect", "/redoc"), _encoded(SECURITY | {"Content-Security-Policy": _DOCS})
)


class SecurityHeaders:
    """Middleware that adds those headers that an answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them where an answer starts."""
        added = _ADDED_TO.get(scope.get("path", ""), _ADDED)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                there = {name.lower() for name, _ in headers}
                headers += [one for one in added if one[0] not in there]
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, with_headers)
