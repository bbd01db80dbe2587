"""Rows of single entities in Feast's stock online stores, counted and deleted.

Feast's interface has no call for it: its stores write and read entities, and delete whole views only. So each store is
asked in its own language, by the connection, the table's name and the serialized keys that Feast itself uses.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from feast import FeatureView, RepoConfig
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_table_id, compute_versioned_name
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from feature_repo.errors import StoreError
from feature_repo.settings import OnlineStore as Kind

if TYPE_CHECKING:
    from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore
    from feast.infra.online_stores.redis import RedisOnlineStore
    from feast.infra.online_stores.sqlite import SqliteOnlineStore
    from redis.client import Pipeline


class StockRows(Protocol):
    """Rows of one deployment, by view and the ids of its one entity key; ids that are not stored are passed over."""

    def count(self, view: FeatureView, ids: Sequence[str]) -> int:
        """How many of these entities have a row."""

    def delete(self, view: FeatureView, ids: Sequence[str]) -> None:
        """Delete their rows, committed when this returns."""

    def settle(self, views: Sequence[FeatureView]) -> None:
        """Have the store give up what it keeps of deleted rows, as far as its own commands do."""


def stock_rows(store: OnlineStore, config: RepoConfig) -> StockRows:
    """Those of a store; StoreError for one that is not among Feast's SQLite, Redis and Postgres."""
    kind = config.online_store.type
    if kind == Kind.SQLITE:
        from feast.infra.online_stores.sqlite import SqliteOnlineStore

        assert isinstance(store, SqliteOnlineStore)
        return SqliteRows(store, config)
    if kind == Kind.REDIS:  # this and the next are extras of the distribution
        from feast.infra.online_stores.redis import RedisOnlineStore

        assert isinstance(store, RedisOnlineStore)
        return RedisRows(store, config)
    if kind == Kind.POSTGRES:
        from feast.infra.online_stores.postgres_online_store.postgres import PostgreSQLOnlineStore

        assert isinstance(store, PostgreSQLOnlineStore)
        return PostgresRows(store, config)
    raise StoreError(
        f"online store {kind}: single rows cannot be deleted in it; accepted are {', '.join(Kind)}: delete them by its "
        "own client"
    )


class SqliteRows:
    """A table a view, a row a feature; the file is written anew, since SQLite keeps the bytes of deleted rows."""

    def __init__(self, store: "SqliteOnlineStore", config: RepoConfig) -> None:
        self._config = config
        self._connection = store._get_conn(config)

    def count(self, view: FeatureView, ids: Sequence[str]) -> int:
        """See `StockRows`."""
        if not self._is_there(view):
            return 0
        query = f'select 1 from "{_table(self._config, view)}" where entity_key = ? limit 1'
        return sum(self._connection.execute(query, [key]).fetchone() is not None for key in self._keys(view, ids))

    def delete(self, view: FeatureView, ids: Sequence[str]) -> None:
        """See `StockRows`."""
        if not self._is_there(view):
            return
        with self._connection:
            self._connection.executemany(
                f'delete from "{_table(self._config, view)}" where entity_key = ?',
                [[key] for key in self._keys(view, ids)],
            )

    def settle(self, views: Sequence[FeatureView]) -> None:
        """See `StockRows`."""
        self._connection.execute("vacuum")

    def _is_there(self, view: FeatureView) -> bool:
        query = "select 1 from sqlite_master where type = 'table' and name = ?"
        return self._connection.execute(query, [_table(self._config, view)]).fetchone() is not None

    def _keys(self, view: FeatureView, ids: Sequence[str]) -> list[bytes]:
        return [_serialized(self._config, one) for one in _entities(view, ids)]


class RedisRows:
    """A hash an entity, which holds the fields of all its views."""

    def __init__(self, store: "RedisOnlineStore", config: RepoConfig) -> None:
        self._config = config
        self._client = store._get_client(config.online_store)

    def count(self, view: FeatureView, ids: Sequence[str]) -> int:
        """See `StockRows`."""
        return sum(bool(self._client.hexists(key, self._mark(view))) for key in self._keys(view, ids))

    def delete(self, view: FeatureView, ids: Sequence[str]) -> None:
        """See `StockRows`. With its last view the whole hash goes, fields of former features included."""
        name = compute_versioned_name(view, self._config.registry.enable_online_feature_view_versioning)
        mark = self._mark(view)
        fields = [mark, *(_mmh3(f"{name}:{field.name}") for field in view.features)]
        for key in self._keys(view, ids):

            def drop(pipe: "Pipeline", key: bytes = key) -> None:
                names: list[bytes] = pipe.hkeys(key)  # type: ignore[arg-type, assignment]  # its types know texts alone
                others = [one for one in names if one.startswith(b"_ts:") and one != mark.encode()]
                pipe.multi()
                if others:
                    pipe.hdel(key, *fields)  # type: ignore[arg-type]
                else:
                    pipe.delete(key)

            self._client.transaction(drop, key)  # done again where the hash was written meanwhile

    def settle(self, views: Sequence[FeatureView]) -> None:
        """See `StockRows`. Memory holds nothing more; files are the server's, which rewrites them by itself."""

    def _mark(self, view: FeatureView) -> str:
        """The field that tells when the view's row is from."""
        name = compute_versioned_name(view, self._config.registry.enable_online_feature_view_versioning)
        return f"_ts:{name}"

    def _keys(self, view: FeatureView, ids: Sequence[str]) -> list[bytes]:
        version = self._config.entity_key_serialization_version
        return [_redis_key(self._config.project, one, version) for one in _entities(view, ids)]


class PostgresRows:
    """A table a view, a row a feature."""

    def __init__(self, store: "PostgreSQLOnlineStore", config: RepoConfig) -> None:
        self._config, self._store = config, store

    def count(self, view: FeatureView, ids: Sequence[str]) -> int:
        """See `StockRows`."""
        return self._on(view, "select count(distinct entity_key) from {} where entity_key = any(%s)", ids)

    def delete(self, view: FeatureView, ids: Sequence[str]) -> None:
        """See `StockRows`."""
        self._on(view, "delete from {} where entity_key = any(%s)", ids)

    def settle(self, views: Sequence[FeatureView]) -> None:
        """See `StockRows`. The space of deleted rows is free for others."""
        for view in views:
            self._on(view, "vacuum {}")

    def _on(self, view: FeatureView, query: str, ids: Sequence[str] | None = None) -> int:
        """Run a query on the view's table, 0 where there is none; the number that it answers, or of its rows."""
        from psycopg import sql  # an extra of the distribution

        table = sql.Identifier(_table(self._config, view))
        keys = None if ids is None else [[_serialized(self._config, one) for one in _entities(view, ids)]]
        with self._store._get_conn(self._config, autocommit=True) as connection:
            there = connection.execute("select to_regclass(%s)", [table.as_string(connection)]).fetchone()
            if there is None or there[0] is None:
                return 0
            done = connection.execute(sql.SQL(query).format(table), keys)
            row = done.fetchone() if done.description else None
            return done.rowcount if row is None else int(row[0])


def _entities(view: FeatureView, ids: Sequence[str]) -> list[EntityKey]:
    [key] = view.join_keys
    return [EntityKey(join_keys=[key], entity_values=[Value(string_val=one)]) for one in ids]


def _serialized(config: RepoConfig, entity: EntityKey) -> bytes:
    key: bytes = serialize_entity_key(entity, config.entity_key_serialization_version)
    return key


def _table(config: RepoConfig, view: FeatureView) -> str:
    name: str = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return name
