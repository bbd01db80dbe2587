"""API keys: which secret opens what. Only hashes of secrets are held, and they are compared in constant time."""

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from feature_repo.settings import ApiKey, Scope, secret_hash

# the page holds no data: what it shows, it asks for
PAGES: Final = frozenset({"/", "/compare", "/items", "/dashboard", "/favicon.ico"})
BELOW_PAGES: Final = ("/items/", "/web/")
OPEN: Final = PAGES | frozenset(
    {"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json", "/health/live", "/health/ready"}
)
EVENTS: Final = "/v1/events"
ADMIN: Final = "/v1/admin/"


@dataclass(frozen=True)
class Holder:
    """A key that was recognised: its name in the settings and what it opens."""

    name: str
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        """Whether the key opens what needs a scope; `admin` opens all."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Keyring:
    """The deployment's keys; without any, everything is open."""

    def __init__(self, keys: Mapping[str, ApiKey]) -> None:
        self._keys = [(key.secret, Holder(name, frozenset(key.scopes))) for name, key in keys.items()]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def holder(self, secret: str) -> Holder | None:
        """Whose secret it is, None for nobody's; takes as long whichever key it is, and for none."""
        given, found = secret_hash(secret), None
        for known, holder in self._keys:
            if hmac.compare_digest(known, given):
                found = holder
        return found


def scope_of(path: str) -> Scope | None:
    """What a path needs, None where it is open to all. A path that nobody thought of needs `read`."""
    if path in OPEN or path.startswith(BELOW_PAGES):
        return None
    if path.startswith(ADMIN):
        return Scope.ADMIN
    return Scope.EVENTS if path.rstrip("/") == EVENTS else Scope.READ


def presented(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The secret in a request's headers, `Authorization: Bearer SECRET` or `X-API-Key: SECRET`; None without any."""
    found = None
    for name, value in headers:
        if name == b"x-api-key":
            found = value.decode("latin-1").strip()
        elif name == b"authorization":
            scheme, _, secret = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() == "bearer":
                return secret.strip()
    return found
