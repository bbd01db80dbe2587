"""Users out of the feature store: rows of all times, then the online rows."""

from collections.abc import Sequence

from feature_repo import schema
from feature_repo.forgotten_rows import drop_rows
from feature_repo.online import packed_store
from feature_repo.store import Store


def forget_features(store: Store, users: Sequence[str], *, erase: bool = True) -> dict[str, int]:
    """Erase users' rows of all views, offline and online; how many rows of all times each view had.

    Safe to do again: what a killed one has left is erased then. erase: False only counts.

    Raises:
        StoreError: the online store is a stock one, see `Store.delete`; the offline rows are erased all the same.
        StoreUnavailableError: the online store cannot be written.
    """
    from feature_repo.sources import rows_path  # feast takes seconds
    from feature_repo.views import feature_views

    every = feature_views(store.settings)
    views = [name for name, view in every.items() if view.join_keys == [schema.USER_ID]]
    paths = {name: rows_path(store.settings, name) for name in views}
    found = {name: drop_rows(path, users, erase=erase) for name, path in paths.items() if path.exists()}
    if not erase:
        return found
    for name in views:
        store.delete(name, users)
    packed = packed_store(store.feast)
    if packed is not None:
        with store.answering():
            packed.rewrite(store.feast.config)
        store.renew_snapshots(every)
    return found
