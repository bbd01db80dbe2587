"""Which Feast configuration a deployment has: the file of its online store, filled in from the settings.

`feature_store.yaml` is the default; `feature_store.sqlite.yaml`, `.redis.yaml` and `.postgres.yaml` differ from it in
nothing but their `online_store`. Names like ${TRICHORD_HOME} in them are filled in after parsing, so that no password
can break the file; Feast's own commands take them from the environment.
"""

import sqlite3
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Final, TypeAlias

import yaml

from feature_repo.address import CONNECT_TIMEOUT_S, address, file_names
from feature_repo.errors import SettingsError, StoreUnavailableError
from feature_repo.settings import OnlineStore, Settings

if TYPE_CHECKING:
    from feast import FeatureStore, RepoConfig

Failures: TypeAlias = Callable[[Settings], tuple[type[Exception], ...]]
Yaml: TypeAlias = "str | int | bool | list[Yaml] | dict[str, Yaml] | None"

REPO: Final = Path(__file__).parent
FILES: Final[Mapping[OnlineStore, Path]] = {
    OnlineStore.PACKED: REPO / "feature_store.yaml",
    OnlineStore.SQLITE: REPO / "feature_store.sqlite.yaml",
    OnlineStore.REDIS: REPO / "feature_store.redis.yaml",
    OnlineStore.POSTGRES: REPO / "feature_store.postgres.yaml",
}
_CLIENTS: Final = {OnlineStore.REDIS: ("redis",), OnlineStore.POSTGRES: ("psycopg", "psycopg_pool")}


def feast_config(settings: Settings) -> "RepoConfig":
    """What `feast.FeatureStore` takes.

    Raises:
        SettingsError: the online store needs an address that is not given or not understood, or an extra of the
            distribution that is not installed.
    """
    from feast import RepoConfig

    store = settings.online_store
    if absent := [name for name in _CLIENTS.get(store, ()) if find_spec(name) is None]:
        raise SettingsError(f"online_store '{store}' needs {', '.join(absent)}; pip install 'trichord[{store}]'")
    server = address(settings)
    names = {"TRICHORD_HOME": str(settings.home.resolve())} | (file_names(store, server) if server else {})
    parsed = yaml.safe_load(FILES[store].read_text())
    return RepoConfig(repo_path=REPO, **{key: _filled(value, names) for key, value in parsed.items()})


def location(settings: Settings) -> str:
    """Where online rows lie, for messages and fingerprints: no user and no password in it."""
    server = address(settings)
    return f"{settings.online_store} at {server}" if server else f"{settings.online_store} in {settings.home.resolve()}"


def client_errors(settings: Settings) -> tuple[type[Exception], ...]:
    """What the client of the online store raises, and nothing else does."""
    if settings.online_store is OnlineStore.REDIS:
        from redis import RedisError

        return (RedisError,)
    if settings.online_store is OnlineStore.POSTGRES:
        from psycopg import Error

        return (Error,)
    if settings.online_store is OnlineStore.SQLITE:
        return (sqlite3.Error,)
    return ()  # the packed store names its own failures


def failures(settings: Settings) -> tuple[type[Exception], ...]:
    """What a read or write of online rows raises where the store does not do its part."""
    from feast.errors import FeastError

    return (FeastError, OSError, *client_errors(settings))


def reach(config: "RepoConfig") -> None:
    """Try a Postgres once: Feast's pool says only after 30 s, and without a reason, that it found no connection.

    Raises:
        psycopg.Error: it does not answer, and why.
    """
    if config.online_store.type != OnlineStore.POSTGRES:
        return
    import psycopg

    server = config.online_store
    psycopg.connect(
        host=server.host,
        port=server.port,
        dbname=server.database,
        user=server.user,
        password=server.password,
        sslmode=server.sslmode,
        connect_timeout=CONNECT_TIMEOUT_S,
    ).close()


def disconnect(feast: "FeatureStore") -> None:
    """Give up the connections of a stock store that failed; a pool that is only forgotten may join its own thread."""
    pool = getattr(feast._get_provider().online_store, "_conn_pool", None)  # Postgres
    if pool is not None:
        pool.close(timeout=0)


def unavailable(settings: Settings, error: Exception) -> StoreUnavailableError:
    """The error that names the store, its reason and the remedy."""
    remedy = "see that it runs and"
    if address(settings):
        remedy = "see that the server runs, that TRICHORD_ONLINE_URL is right, and"
    return StoreUnavailableError(
        f"the online store, {location(settings)}, does not answer ({type(error).__name__}: "
        f"{' '.join(str(error).split())}); {remedy} that its tables are there: `trichord run` makes them"
    )


def _filled(value: Yaml, names: Mapping[str, str]) -> Yaml:
    """A part of a parsed file with ${NAME} replaced in every text."""
    if isinstance(value, str):
        return Template(value).substitute(names)
    if isinstance(value, list):
        return [_filled(one, names) for one in value]
    if isinstance(value, dict):
        return {key: _filled(one, names) for key, one in value.items()}
    return value
