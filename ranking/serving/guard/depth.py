"""How deep JSON may be nested: no parser, validator or handler ever meets more."""

import re
from typing import Final

import numpy as np
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_DEPTH: Final = 32

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # possessive: linear in whatever comes


class LimitedDepth:
    """Middleware that refuses a body nested deeper than `MAX_DEPTH`, or in another encoding than UTF-8."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the body once it is whole; what limits its size stands before."""
        parts: list[bytes] = []

        async def looked_at() -> Message:
            message = await receive()
            parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                _check(b"".join(parts))
            return message

        await self._app(scope, looked_at, send)


def depth_of(content: bytes) -> int:
    """How many brackets are open at once, at most, outside strings; of what is no JSON likewise.

    >>> depth_of(b'{"a": [1, "[[["]}')
    2
    """
    marks = np.frombuffer(_STRING.sub(b"", content), np.uint8)
    steps = np.isin(marks, list(b"[{")).astype(np.int64) - np.isin(marks, list(b"]}"))
    return int(np.cumsum(steps).max(initial=0))


def _check(content: bytes) -> None:
    if b"\0" in content:  # JSON in UTF-16 or UTF-32, which a parser would take
        raise HTTPException(400, "body: holds a zero byte; accepted is JSON in UTF-8")
    few = content.count(b"[") + content.count(b"{") <= MAX_DEPTH  # as nearly every request: nothing more to count
    if not few and depth_of(content) > MAX_DEPTH:
        raise HTTPException(400, f"body: nested deeper than {MAX_DEPTH} levels, which nothing here needs")
