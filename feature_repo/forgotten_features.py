"""Users out of the feature store: rows of all times, then the online rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_repo import schema
from feature_repo.forgotten_rows import drop_rows
from feature_repo.online import packed_store
from feature_repo.stock_online import stock_rows_of
from feature_repo.store import Store

if TYPE_CHECKING:
    from feast import FeatureView


def forget_features(store: Store, users: Sequence[str], *, erase: bool = True) -> dict[str, int]:
    """Erase users' rows of all views, offline and online.

    How many rows of all times each view had, by its name, and how many users had a row online, by `NAME online`.
    Safe to do again: what a killed one has left is erased then. erase: False only counts.

    Raises:
        StoreUnavailableError: the online store does not answer; the offline rows are erased all the same.
    """
    from feature_repo.sources import rows_path  # feast takes seconds
    from feature_repo.views import feature_views

    users = list(dict.fromkeys(users))
    every = feature_views(store.settings)
    views = {name: view for name, view in every.items() if view.join_keys == [schema.USER_ID]}
    paths = {name: rows_path(store.settings, name) for name in views}
    found = {name: drop_rows(path, users, erase=erase) for name, path in paths.items() if path.exists()}
    found |= {f"{name} online": _online(store, view, users) for name, view in views.items()}
    if not erase:
        return found
    for name in views:
        store.delete(name, users)
    with store.answering():
        packed = packed_store(store.feast)
        if packed is None:
            stock_rows_of(store.feast).settle([*views.values()])
            return found
        packed.rewrite(store.feast.config)
    store.renew_snapshots(every)
    return found


def _online(store: Store, view: "FeatureView", users: Sequence[str]) -> int:
    """How many users have a row of a view online."""
    with store.answering():
        packed = packed_store(store.feast)
        if packed is not None:
            return packed.count_rows(store.feast.config, view, {schema.USER_ID: pa.array(users, pa.string())})
        return stock_rows_of(store.feast).count(view, users)
