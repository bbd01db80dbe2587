"""The only user of `feast.FeatureStore`: registry, offline rows, point-in-time joins, online rows.

Feast is imported inside functions, since that takes seconds which a command that needs no features should not pay.
"""

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from feature_repo import compute, configuration, schema
from feature_repo.columns import Column
from feature_repo.epoch import EPOCH
from feature_repo.errors import StoreError
from feature_repo.offline_rows import present_rows, read_rows, reading, write_rows
from feature_repo.online import Ids, Request, answer, count_of, ids_of, packed_store, read_stored, table_of_answer
from feature_repo.plan import Plan, StoredView, plan_service
from feature_repo.point_in_time import features_at
from feature_repo.settings import Settings
from feature_repo.stock_online import renew_snapshot, stock_rows_of
from feature_repo.stock_snapshots import StockSnapshots
from feature_repo.view_rows import typed_rows

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.infra.provider import Provider


class Store:
    """Features of one deployment. Tables in and out are Arrow; ids are strings; times `timestamp[us, UTC]`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._plans: dict[str, Plan] = {}
        self._reached = False

    @cached_property
    def feast(self) -> "FeatureStore":
        """Feast's own store on the same registry."""
        from feast import FeatureStore

        self.settings.home.mkdir(parents=True, exist_ok=True)
        return FeatureStore(config=configuration.feast_config(self.settings))

    def apply(self) -> None:
        """Register every definition; registering again changes nothing.

        Raises:
            StoreUnavailableError: the online store does not answer.
        """
        from feature_repo.registered import registered

        with warnings.catch_warnings():
            # On-demand views are "experimental" in Feast; what they cost here is measured and tested
            warnings.filterwarnings("ignore", "On demand feature view is an experimental", RuntimeWarning)
            with self.answering(configuration.client_errors):
                self.feast.apply(list(registered(self.settings).values()))
        self._plans.clear()

    def write_view(self, name: str, rows: pa.Table, *, written_at: datetime | None = None) -> Path:
        """Replace a view's rows of all times: entity key, event_timestamp, and the view's features in any order.

        Raises:
            StoreError: the view is unknown, a column is missing or of another type, or the file cannot be written.
        """
        from feature_repo.sources import rows_path

        return write_rows(rows_path(self.settings, name), typed_rows(self._view(name), rows, written_at))

    def read_view(self, name: str) -> pa.Table:
        """A view's rows of all times, as last written.

        Raises:
            StoreError: no rows were written yet, or they cannot be read.
        """
        from feature_repo.sources import rows_path

        path = rows_path(self.settings, name)
        if not path.exists():
            raise StoreError(f"{path}: feature view {name} has no rows yet; run `trichord run` first")
        return read_rows(path)

    def push(self, name: str, rows: pa.Table, *, written_at: datetime | None = None) -> None:
        """`push_all` of one view."""
        self.push_all({name: rows}, written_at=written_at)

    def push_all(self, rows: Mapping[str, pa.Table], *, written_at: datetime | None = None) -> None:
        """Write rows by view to the online store; the packed one keeps what it has of a later event_timestamp.

        Whoever reads the packed store sees the rows of all views or none. It writes what `feast.push` to the views'
        push sources would, without reading the whole registry again each time, and into the packed store as Arrow.

        Raises:
            StoreError: the view is unknown, or a column is missing or of another type.
            StoreUnavailableError: the online store does not answer.
        """
        views = [(view, typed_rows(view, rows[view.name], written_at)) for view in map(self._view, rows)]
        with self.answering():
            packed = packed_store(self.feast)
            if packed is not None:
                packed.write_views(self.feast.config, views)
                return
            from feature_repo.stores.stock_writes import noted

            for view, stamped in views:
                if len(stamped):
                    with noted(self._provider.online_store, self.feast.config, view):
                        self._provider.ingest_df(view, stamped.to_pandas(integer_object_nulls=True))

    def refresh(
        self,
        events: pa.Table,
        items: pa.Table,
        *,
        at: datetime,
        users: Sequence[str] = (),
        item_ids: Sequence[str] = (),
    ) -> None:
        """Bring the online rows of some users and items to what is known at a moment.

        events: `schema.LABELLED_EVENTS`, all that there are of these users and items; what occurred at `at` or later
        does not count. items: `schema.ITEMS` of the items that the events name.
        """
        self.push_all(compute.rows_at(events, items, at=at, users=users, item_ids=item_ids))

    def materialize(self, until: datetime, *, since: datetime = EPOCH, views: Iterable[str] | None = None) -> None:
        """Write the latest row of every entity between two moments of the data's own clock to the online store.

        Of a row here and one that was pushed the later event_timestamp stays; a stock online store overwrites what was
        pushed: refresh the entities of events after `until` afterwards. Views without any rows are passed over.

        Raises:
            StoreError: the rows of a view are missing, damaged or of a former definition: nothing is written then.
            StoreUnavailableError: the online store cannot be written.
        """
        registered = {view.name: view for view in self.feast.list_feature_views()}
        names = [*registered] if views is None else [*views]
        if unknown := [name for name in names if name not in registered]:
            raise StoreError(f"feature view {unknown[0]!r} is not registered; known: {', '.join(sorted(registered))}")
        present = {name: path for name in names if (path := present_rows(self.settings, registered[name]))}
        # Feast prints its progress; what a command prints is the command's
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with quiet[0], quiet[1], self.answering(configuration.client_errors), reading(present.values()):
            if present:
                self.feast.materialize(since, until, feature_views=[*present])
        if packed_store(self.feast) is None:  # the packed store's are made by the engine, for Feast's own command too
            self.renew_snapshots(present)

    def renew_snapshots(self, views: Iterable[str]) -> None:
        """Have views of items read from memory, as they are online now; other views are passed over.

        `materialize` does so itself.

        Raises:
            StoreUnavailableError: the online store does not answer.
        """
        from feature_repo.sources import rows_path

        with self.answering():
            packed = packed_store(self.feast)
            for view in map(self.feast.get_feature_view, views):
                if view.join_keys != [schema.ITEM_ID]:
                    continue
                if packed is not None:
                    packed.snapshot(self.feast.config, view)
                else:
                    ids = read_rows(rows_path(self.settings, view.name), [schema.ITEM_ID])[schema.ITEM_ID]
                    renew_snapshot(self.feast, self.snapshots, view, ids.unique().cast(pa.string()))

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """Forget entities of a view online, by their ids; those that are not stored are passed over.

        Rows that stand in the view's file are online again after the next materialization.

        Raises:
            StoreError: the view is unknown.
            StoreUnavailableError: the online store cannot be written.
        """
        view = self._view(name)
        with self.answering():
            packed = packed_store(self.feast)
            if packed is not None:
                packed.delete_rows(self.feast.config, view, {view.join_keys[0]: pa.array(ids, pa.string())})
                return
            from feature_repo.stores.stock_writes import noted

            with noted(self._provider.online_store, self.feast.config, view):
                stock_rows_of(self.feast).delete(view, ids)

    def feature_columns(self, service: str) -> pa.Schema:
        """Feature columns of a service in their fixed order, with their types."""
        return pa.schema(list(self.plan(service).columns.items()))

    def plan(self, service: str) -> Plan:
        """What a registered service takes; resolved once.

        Raises:
            StoreError: no such service is registered.
        """
        if service not in self._plans:
            self._plans[service] = plan_service(self.feast, service)
        return self._plans[service]

    def training_frame(self, rows: pa.Table, *, service: str = "ranking_v1") -> pa.Table:
        """Rows with the features of a service as they were known at each row's `event_timestamp`.

        rows: the service's entity keys, event_timestamp and, for a service with on-demand views, requested_at (a
        timestamp: its hour and weekday count), device and place; any further columns travel along.
        Returns the same rows in the same order, then `feature_columns(service)`. Unknown entities have nulls.
        """
        return features_at(self.feast, self.plan(service), rows)

    def online_frame(
        self,
        user_id: str,
        item_ids: Sequence[str] | pa.StringArray,
        *,
        at: datetime,
        requested_at: datetime | None = None,
        device: str | None = None,
        place: str | None = None,
        service: str = "ranking_v1",
    ) -> pa.Table:
        """Features of one user and each of some items, now: user_id, item_id, then `feature_columns(service)`.

        at: what is known by then. requested_at: whose hour and weekday count; default `at`. Equal to
        `training_frame` at the same moments, as long as the online rows are up to date. Entities that the online store
        does not know have nulls and are named by `online.missing`.
        """
        return self._table(service, ids_of(user_id, Ids.of(item_ids)), Request(at, requested_at or at, device, place))

    def online_columns(
        self, user_id: str, items: Ids, request: Request, *, service: str = "ranking_v1"
    ) -> dict[str, Column]:
        """The features of `online_frame` alone, by name in the order of `feature_columns(service)`."""
        columns, _ = self._answer(service, ids_of(user_id, items), request)
        return {name: columns[name] for name in self.plan(service).columns}

    def online_rows(
        self,
        ids: Mapping[str, Sequence[str]],
        *,
        at: datetime,
        requested_at: datetime | None = None,
        device: str | None = None,
        place: str | None = None,
        service: str = "ranking_v1",
    ) -> pa.Table:
        """Online features of a service: its entity keys, then `feature_columns(service)`.

        ids: equally many ids by entity key. Each distinct id is read once.

        Raises:
            StoreError: the service is unknown, needs an entity key that is not among `ids`, or they are not equally
                many.
        """
        count_of(ids)
        asked = {key: Ids.of(of_key) for key, of_key in ids.items()}
        return self._table(service, asked, Request(at, requested_at or at, device, place))

    def _table(self, service: str, asked: Mapping[str, Ids], request: Request) -> pa.Table:
        return table_of_answer(self.plan(service), *self._answer(service, asked, request))

    def _answer(
        self, service: str, asked: Mapping[str, Ids], request: Request
    ) -> tuple[dict[str, Column], dict[str, list[str]]]:
        plan = self.plan(service)
        if absent := plan.stored.keys() - asked.keys():
            raise StoreError(f"{service} needs {', '.join(sorted(plan.stored))}; give {', '.join(sorted(absent))} too")

        def read(key: str, views: Mapping[str, StoredView]) -> tuple[dict[str, Column], list[str]]:
            with self.answering():
                return read_stored(self.feast, key, asked[key], views, request.at, snapshots=self.snapshots)

        return answer(plan, request, read)

    @cached_property
    def snapshots(self) -> StockSnapshots:
        """Those of views in a stock online store; the packed store has its own."""
        return StockSnapshots(self.settings.home.resolve() / "snapshots")

    @contextlib.contextmanager
    def answering(self, failures: configuration.Failures = configuration.failures) -> Iterator[None]:
        """Raise `StoreUnavailableError` where the online store fails while it is asked, and connect anew next time.

        failures: what counts as such; default whatever a read or write of single rows may raise.
        """
        config = self.feast.config
        try:
            if not self._reached:
                configuration.reach(config)
                self._reached = True
            yield
        except failures(self.settings) as error:
            self._reached = False
            if "feast" in self.__dict__:
                configuration.disconnect(self.__dict__.pop("feast"))
            self.__dict__.pop("_provider", None)
            raise configuration.unavailable(self.settings, error) from error

    @cached_property
    def _provider(self) -> "Provider":
        return self.feast._get_provider()  # what its own writes go through

    @cached_property
    def _views(self) -> "dict[str, FeatureView]":
        from feature_repo.views import feature_views

        return feature_views(self.settings)

    def _view(self, name: str) -> "FeatureView":
        if name not in self._views:
            raise StoreError(f"feature view {name!r} does not exist; known: {', '.join(sorted(self._views))}")
        return self._views[name]
