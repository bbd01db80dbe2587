"""Where the server of an online store answers: `online_url` taken apart, and told to Feast in its own words."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from feature_repo.errors import SettingsError
from feature_repo.settings import OnlineStore, Settings

CONNECT_TIMEOUT_S: Final = 3
ANSWER_TIMEOUT_S: Final = 30

_LOOPBACK: Final = re.compile(r"localhost|127\.[\d.]+|::1")


@dataclass(frozen=True)
class _Form:
    """What a URL of one kind of server looks like."""

    text: str
    schemes: tuple[str, ...]
    port: int
    named: bool = False  # whether it must name a user and a database


_FORMS: Final[Mapping[OnlineStore, _Form]] = {
    OnlineStore.REDIS: _Form("redis://[USER][:PASSWORD@]HOST[:PORT][/NUMBER]", ("redis", "rediss"), 6379),
    OnlineStore.POSTGRES: _Form(
        "postgresql://USER[:PASSWORD]@HOST[:PORT]/DATABASE[?sslmode=MODE]", ("postgresql", "postgres"), 5432, named=True
    ),
}


@dataclass(frozen=True)
class Address:
    """A server's address; its text form names neither user nor password."""

    host: str
    port: int
    database: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    tls: bool
    sslmode: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


def address(settings: Settings) -> Address | None:
    """Where the deployment's online store answers, None for one that is a file.

    Raises:
        SettingsError: `online_url` is not set or not understood. The message holds no part of it but its scheme.
    """
    form = _FORMS.get(settings.online_store)
    if form is None:
        return None
    remedy = f"accepted is {form.text}; set TRICHORD_ONLINE_URL"
    text = settings.online_url.get_secret_value() if settings.online_url else ""
    if not text:
        raise SettingsError(f"online_store '{settings.online_store}' needs online_url, which is not set; {remedy}")
    try:
        url = urlsplit(text)
        port = url.port or form.port
    except ValueError:  # its message may hold the password
        raise SettingsError(f"online_url: host or port cannot be read; {remedy}") from None
    database = url.path.strip("/")
    if url.scheme not in form.schemes or not url.hostname or (form.named and not (url.username and database)):
        raise SettingsError(f"online_url of scheme {url.scheme!r} is incomplete or of another store; {remedy}")
    # a server on this machine has no certificate as a rule; over a network nothing goes unencrypted unasked
    sslmode = "disable" if _LOOPBACK.fullmatch(url.hostname) else "require"
    return Address(
        host=url.hostname,
        port=port,
        database=database,
        user=unquote(url.username or ""),
        password=unquote(url.password or ""),
        tls=url.scheme == "rediss",
        sslmode=parse_qs(url.query).get("sslmode", [sslmode])[-1],
    )


def file_names(store: OnlineStore, server: Address) -> dict[str, str]:
    """The values of what `feature_store.*.yaml` leaves open, for the store of a server."""
    if store is OnlineStore.REDIS:
        return {"TRICHORD_REDIS": _redis(server)}
    return {
        "TRICHORD_POSTGRES_HOST": server.host,
        "TRICHORD_POSTGRES_PORT": str(server.port),
        "TRICHORD_POSTGRES_DATABASE": server.database,
        "TRICHORD_POSTGRES_USER": server.user,
        "TRICHORD_POSTGRES_PASSWORD": server.password,
        "TRICHORD_POSTGRES_SSLMODE": server.sslmode,
    }


def _redis(server: Address) -> str:
    """Feast's form of an address: HOST:PORT,option=JSON,..."""
    if ":" in server.host or "," in server.user + server.password:
        raise SettingsError("online_url: Feast's Redis store takes no IPv6 host, and no comma in user or password")
    options = {
        "db": server.database,
        "username": server.user and json.dumps(server.user),  # as JSON, since digits would be taken for a number
        "password": server.password and json.dumps(server.password),
        "ssl": "true" if server.tls else "",
        "socket_connect_timeout": str(CONNECT_TIMEOUT_S),
        "socket_timeout": str(ANSWER_TIMEOUT_S),
        "retry": "null",  # a server that is away is said at once; by default a read is tried for six seconds
    }
    return ",".join([f"{server.host}:{server.port}", *(f"{name}={value}" for name, value in options.items() if value)])
