"""The only user of `feast.FeatureStore`: registry, offline rows, point-in-time joins, online rows.

Feast is imported inside functions, since that takes five seconds which a command that needs no features should not pay.
"""

import contextlib
import io
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo import compute, configuration, schema, transforms
from feature_repo.errors import StoreError
from feature_repo.online import packed_store, read_stored, request_columns, with_on_demand
from feature_repo.plan import Fields, Plan, arrow_fields, plan_service
from feature_repo.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.infra.provider import Provider

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_ASOF: Final = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
_ROW: Final = "__row"  # Feast does not promise to keep the order of rows
_MISSING: Final = b"missing"


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
            StoreError: the view is unknown, or a column is missing or of another type.
        """
        from feature_repo.sources import rows_path

        path = rows_path(self.settings, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        pq.write_table(_stamped(self._checked(name, rows), written_at), partial)
        return partial.replace(path)

    def read_view(self, name: str) -> pa.Table:
        """A view's rows of all times, as last written.

        Raises:
            StoreError: no rows were written yet.
        """
        from feature_repo.sources import rows_path

        path = rows_path(self.settings, name)
        if not path.exists():
            raise StoreError(f"{path}: feature view {name} has no rows yet; run `trichord run` first")
        return pq.read_table(path)

    def push(self, name: str, rows: pa.Table, *, written_at: datetime | None = None) -> None:
        """Write rows of a view to the online store; the packed one keeps what it has of a later event_timestamp.

        It writes what `feast.push` to the view's push source would, without reading the whole registry again each
        time, and into the packed store as Arrow.

        Raises:
            StoreError: the view is unknown, or a column is missing or of another type.
            StoreUnavailableError: the online store does not answer.
        """
        stamped = _stamped(self._checked(name, rows), written_at)
        if not len(stamped):
            return
        with self.answering():
            packed = packed_store(self.feast)
            if packed is not None:
                packed.write_arrow(self.feast.config, self._views[name], stamped)
            else:
                self._provider.ingest_df(self._views[name], stamped.to_pandas(integer_object_nulls=True))

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
        for view, rows in compute.rows_at(events, items, at=at, users=users, item_ids=item_ids).items():
            self.push(view, rows)

    def materialize(self, until: datetime, *, since: datetime = EPOCH, views: Iterable[str] | None = None) -> None:
        """Write the latest row of every entity between two moments of the data's own clock to the online store.

        Of a row here and one that was pushed the later event_timestamp stays; a stock online store overwrites what was
        pushed: refresh the entities of events after `until` afterwards. Views without any rows are passed over.

        Raises:
            StoreError: the rows of a view cannot be read.
            StoreUnavailableError: the online store cannot be written.
        """
        from feature_repo.sources import rows_path

        names = [view.name for view in self.feast.list_feature_views()] if views is None else views
        present = [name for name in names if rows_path(self.settings, name).exists()]
        # Feast prints its progress; what a command prints is the command's
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with quiet[0], quiet[1], self.answering(configuration.client_errors):
            if present:
                self.feast.materialize(since, until, feature_views=present)

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
        plan = self.plan(service)
        entities = _entity_rows(rows, plan).append_column(_ROW, pa.array(range(len(rows)), pa.int64()))
        stored = {view: part.fields for of_key in plan.stored.values() for view, part in of_key.items()}
        takes_arrow = self.feast.config.offline_store.type == _ASOF  # Feast's own stores take pandas alone
        job = self.feast.get_historical_features(
            entities if takes_arrow else entities.to_pandas(),
            [f"{view}:{field}" for view, fields in stored.items() for field in fields],
        )
        found = job.to_arrow().sort_by(_ROW)
        if len(found) != len(rows):
            raise StoreError(f"{service}: {len(rows)} rows asked, {len(found)} answered by the offline store")
        for fields in stored.values():
            entities = _with_columns(entities, found, fields)
        return _with_columns(rows, with_on_demand(entities, plan), plan.columns)

    def online_frame(
        self,
        user_id: str,
        item_ids: Sequence[str],
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
        does not know have nulls and are named by `missing`.
        """
        ids = {schema.USER_ID: [user_id] * len(item_ids), schema.ITEM_ID: item_ids}
        return self.online_rows(ids, at=at, requested_at=requested_at, device=device, place=place, service=service)

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
            StoreError: the service is unknown, or needs an entity key that is not among `ids`.
        """
        plan = self.plan(service)
        if absent := plan.stored.keys() - ids.keys():
            raise StoreError(f"{service} needs {', '.join(sorted(plan.stored))}; give {', '.join(sorted(absent))} too")
        found: dict[str, pa.Array] = {}
        missing: dict[str, list[str]] = {}
        for key, views in plan.stored.items():
            distinct = pa.array(ids[key], pa.string()).dictionary_encode()
            with self.answering():
                columns, missing[key] = read_stored(self.feast, key, distinct.dictionary, views, at)
            found |= {name: column.take(distinct.indices) for name, column in columns.items()}
        keys = pa.table({key: found[key] for key in plan.stored})
        stored = pa.table(found | request_columns(at, requested_at or at, device, place, len(keys)))
        answer = _with_columns(keys, with_on_demand(stored, plan), plan.columns)
        return answer.replace_schema_metadata({_MISSING: json.dumps(missing)})

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
            for name in ("feast", "_provider"):  # they hold the broken connections
                self.__dict__.pop(name, None)
            raise configuration.unavailable(self.settings, error) from error

    @cached_property
    def _provider(self) -> "Provider":
        return self.feast._get_provider()  # what its own writes go through

    @cached_property
    def _views(self) -> "dict[str, FeatureView]":
        from feature_repo.views import feature_views

        return feature_views(self.settings)

    @cached_property
    def _view_columns(self) -> dict[str, Fields]:
        """Columns of every view's rows but the time of writing, by view."""
        return {
            view.name: {**arrow_fields(view.entity_columns), schema.EVENT_TIMESTAMP: schema.TIMESTAMP}
            | arrow_fields(view.features)
            for view in self._views.values()
        }

    def _checked(self, name: str, rows: pa.Table) -> pa.Table:
        """Rows with exactly the view's columns, in the view's types."""
        columns = self._view_columns.get(name)
        if columns is None:
            raise StoreError(f"feature view {name!r} does not exist; known: {', '.join(sorted(self._view_columns))}")
        if absent := [column for column in columns if column not in rows.column_names]:
            raise StoreError(f"rows of {name} lack {', '.join(absent)}; needed: {', '.join(columns)}")
        try:
            return rows.select(list(columns)).cast(pa.schema(list(columns.items())))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise StoreError(f"rows of {name} have a column of another type ({error}); wanted: {columns}") from error


def missing(answer: pa.Table) -> dict[str, list[str]]:
    """Ids by entity key of which the online store knew nothing, of what `online_frame` or `online_rows` answered."""
    named: dict[str, list[str]] = json.loads(answer.schema.metadata[_MISSING])
    return named


def _stamped(rows: pa.Table, written_at: datetime | None) -> pa.Table:
    """Rows with the moment of writing, by which Feast chooses among rows of one entity and event_timestamp."""
    moment = pa.scalar(written_at or datetime.now(UTC), schema.TIMESTAMP)
    return rows.append_column(schema.CREATED_TIMESTAMP, pa.repeat(moment, len(rows)))


def _entity_rows(rows: pa.Table, plan: Plan) -> pa.Table:
    """What Feast's join takes of the rows: keys, moment, and the request's columns if any view is on demand."""
    wanted = [*plan.stored, schema.EVENT_TIMESTAMP]
    request = [transforms.REQUESTED_AT, schema.DEVICE, schema.PLACE] if plan.on_demand else []
    if absent := [name for name in [*wanted, *request] if name not in rows.column_names]:
        raise StoreError(f"rows lack {', '.join(absent)}; needed: {', '.join([*wanted, *request])}")
    taken = rows.select(wanted)
    if request:
        taken = taken.append_column(transforms.AS_OF, rows[schema.EVENT_TIMESTAMP].cast(pa.int64()))
        taken = taken.append_column(transforms.REQUESTED_AT, rows[transforms.REQUESTED_AT].cast(pa.int64()))
        for name in (schema.DEVICE, schema.PLACE):
            taken = taken.append_column(name, rows[name])
    return taken


def _with_columns(rows: pa.Table, found: pa.Table, columns: Fields) -> pa.Table:
    """Rows with the named columns of another table of the same rows, in their types."""
    for name, kind in columns.items():
        rows = rows.append_column(pa.field(name, kind), found[name].cast(kind))
    return rows
