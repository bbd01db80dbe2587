"""Who may ask: a key for what needs one, and so many requests as a key or an address may send."""

import math
import time
from collections.abc import Callable
from ipaddress import ip_address
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from feature_repo.errors import SettingsError
from feature_repo.settings import Access
from ranking.serving.guard.buckets import Buckets
from ranking.serving.guard.depth import LimitedDepth
from ranking.serving.guard.headers import SecurityHeaders
from ranking.serving.guard.keys import Holder, Keyring, presented, scope_of
from ranking.serving.problems import problem

_REALM: Final = 'Bearer realm="trichord"'


class Guard:
    """Middleware that answers 401, 403 or 429 for those who may not ask, or not so often.

    Health is told to everybody, always.
    """

    def __init__(self, app: ASGIApp, access: Access, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._keys = Keyring(access.keys)
        rate = access.requests_per_s
        self._buckets = None if rate is None else Buckets(rate, access.burst or math.ceil(2 * rate), clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it before its body is read."""
        if scope["type"] != "http" or scope["path"].startswith("/health/"):
            await self._app(scope, receive, send)
            return
        secret = presented(scope["headers"]) if self._keys else None
        holder = None if secret is None else self._keys.holder(secret)
        refused = self._too_often(scope, holder) or self._not_allowed(scope["path"], secret, holder)
        await (refused or self._app)(scope, receive, send)

    def _too_often(self, scope: Scope, holder: Holder | None) -> ASGIApp | None:
        """Requests count for their key, and without a known one for the address that they come from."""
        if self._buckets is None:
            return None
        address = scope["client"][0] if scope.get("client") else "unknown"
        wait = self._buckets.take(f"address {address}" if holder is None else f"key {holder.name}")
        if not wait:
            return None
        asker = "this address" if holder is None else f"key {holder.name!r}"
        seconds = math.ceil(wait)
        text = f"too many requests by {asker}; ask again in {seconds} s, and less often"
        return problem(429, text, headers={"Retry-After": str(seconds)})

    def _not_allowed(self, path: str, secret: str | None, holder: Holder | None) -> ASGIApp | None:
        needed = scope_of(path)
        if not self._keys or needed is None:
            return None
        if holder is None:
            told = _REALM if secret is None else f'{_REALM}, error="invalid_token"'
            what = "no API key" if secret is None else "an unknown API key"
            text = f"{what}; send one of scope {needed} as `Authorization: Bearer KEY` or `X-API-Key: KEY`"
            return problem(401, text, headers={"WWW-Authenticate": told})
        if not holder.may(needed):
            told = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
            text = f"key {holder.name!r} has not the scope {needed}, which {path} needs; send a key that has"
            return problem(403, text, headers={"WWW-Authenticate": told})
        return None


def install(app: FastAPI, access: Access) -> None:
    """Put the guard before everything that an app has so far; of what is added, the last is asked first."""
    app.add_middleware(Guard, access)
    app.add_middleware(SecurityHeaders)


def limit_bodies(app: FastAPI) -> None:
    """Let no body deeper than `depth.MAX_DEPTH` reach a handler."""
    app.add_middleware(LimitedDepth)


def check_address(host: str, access: Access, *, open_to_all: bool) -> None:
    """Raise `SettingsError` where others could reach a server that asks for no key, unless that is wanted."""
    if access.keys or open_to_all or _is_loopback(host):
        return
    raise SettingsError(
        f"--host {host}: everybody who reaches this address could read and write everything, as no API key is set; "
        "set one ([api.keys.NAME] in trichord.toml, or TRICHORD_API_KEYS), serve on 127.0.0.1, or say --open where "
        "something else keeps others out"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name: it may lead anywhere
        return False
