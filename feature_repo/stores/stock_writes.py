"""A token a view on the server of a stock online store, another one after each write by this platform.

What was read from the server before the token last changed may be old; what was read since is what the server holds.
The token changes before a write and again when it is done, so that nothing read in between counts either. It lies in
the store as a feature of a view that no registry knows, by Feast's own interface, so that it works in every store.
"""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.infra.online_stores.online_store import OnlineStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import String

_VIEW: Final = "view"
_TOKEN: Final = "token"


def tokens(store: OnlineStore, config: RepoConfig, views: Sequence[str]) -> list[str | None]:
    """The present token of each view; None where nothing was written yet."""
    found = store.online_read(config, _written(), [_key(view) for view in views], [_TOKEN])
    return [(values or {}).get(_TOKEN, Value()).string_val or None for _, values in found]


def change(store: OnlineStore, config: RepoConfig, view: FeatureView) -> None:
    """Give a view a new token; pushed views have none, since they change too often to be kept elsewhere."""
    if is_pushed(view):
        return
    store.update(config, [], [_written()], [], [], partial=True)  # makes its table where a store has tables
    values = {_TOKEN: Value(string_val=uuid.uuid4().hex)}
    store.online_write_batch(config, _written(), [(_key(view.name), values, datetime.now(UTC), None)], None)


@contextlib.contextmanager
def noted(store: OnlineStore, config: RepoConfig, view: FeatureView) -> Iterator[None]:
    """Write rows of a view in this context."""
    change(store, config, view)
    try:
        yield
    finally:
        change(store, config, view)


def is_pushed(view: FeatureView) -> bool:
    """Whether rows come one by one, too, by anybody's push."""
    return view.stream_source is not None


def _key(view: str) -> EntityKey:
    return EntityKey(join_keys=[_VIEW], entity_values=[Value(string_val=view)])


def _written() -> FeatureView:
    return FeatureView(
        name="written_views",
        entities=[Entity(name=_VIEW, join_keys=[_VIEW], value_type=ValueType.STRING)],
        schema=[Field(name=_VIEW, dtype=String), Field(name=_TOKEN, dtype=String)],
        source=FileSource(name="none", path="none.parquet", timestamp_field="event_timestamp"),
        ttl=timedelta(0),
    )
