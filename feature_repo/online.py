"""Reading a plan's stored inputs from the online store, and computing what is on demand."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema, transforms
from feature_repo.plan import Fields, Plan, StoredView
from feature_repo.stock_snapshots import StockSnapshots
from feature_repo.stores.packed_layout import NEVER
from feature_repo.stores.packed_rows import Rows

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.online_response import OnlineResponse

    from feature_repo.stores.packed import PackedOnlineStore

_SECOND: Final = 1_000_000  # microseconds

Mask: TypeAlias = npt.NDArray[np.bool_]
# A feature's values, the seconds since 1970 of their rows' event_timestamp, and whether there is a row.
Found: TypeAlias = tuple[pa.Array, npt.NDArray[np.int64], Mask]


def read_stored(
    feast: "FeatureStore",
    key: str,
    ids: pa.Array,
    views: Mapping[str, StoredView],
    at: datetime,
    *,
    take: npt.NDArray[np.int64] | None = None,
    snapshots: StockSnapshots | None = None,
) -> tuple[dict[str, pa.Array], list[str]]:
    """Stored features of distinct ids, null where older than their view's ttl, and ids of which nothing is stored.

    take: places among the ids of the rows wanted; default each once. snapshots: of a stock store.
    """
    packed = packed_store(feast)
    if packed is not None:
        columns, known = _read_packed(feast, packed, key, ids, views, at, take)
    else:
        columns, known = _read_stock(feast, key, ids, views, at, snapshots)
        if take is not None:
            columns, known = {name: one.take(pa.array(take)) for name, one in columns.items()}, known[take]
    wanted = ids if take is None else ids.take(pa.array(take))
    missing: list[str] = [] if known.all() else wanted.filter(pa.array(~known)).unique().to_pylist()
    return {key: wanted, **columns}, missing


def packed_store(feast: "FeatureStore") -> "PackedOnlineStore | None":
    """The online store of these features if it is ours, which takes and gives Arrow."""
    from feature_repo.stores.packed import PackedOnlineStore  # imports feast

    store = feast._get_provider().online_store
    return store if isinstance(store, PackedOnlineStore) else None


def _read_packed(
    feast: "FeatureStore",
    store: "PackedOnlineStore",
    key: str,
    ids: pa.Array,
    views: Mapping[str, StoredView],
    at: datetime,
    take: npt.NDArray[np.int64] | None,
) -> tuple[dict[str, pa.Array], Mask]:
    from feature_repo.stores.packed import Part  # imports feast

    parts = [Part(one.layout, tuple(one.fields), at - one.ttl if one.ttl else None) for one in views.values()]
    columns: dict[str, pa.Array] = {}
    known = np.zeros(len(ids) if take is None else len(take), bool)
    for rows in store.read_parts(feast.config, parts, {key: ids}, take=take):
        columns |= rows.columns
        known |= rows.known
    return columns, known


def _read_stock(
    feast: "FeatureStore",
    key: str,
    ids: pa.Array,
    views: Mapping[str, StoredView],
    at: datetime,
    snapshots: StockSnapshots | None,
) -> tuple[dict[str, pa.Array], Mask]:
    """From snapshots where there are such, else from the server; Feast heeds the ttl offline only."""
    found: dict[str, Rows] = {}
    for name, (rows, held) in (snapshots.read(feast, views, key, ids) if snapshots else {}).items():
        found[name] = rows
        if not held.all():
            outside = pa.array(np.flatnonzero(~held))
            found[name] = _replaced(rows, held, read_server(feast, key, ids.take(outside), {name: views[name]})[name])
    found |= read_server(feast, key, ids, {name: view for name, view in views.items() if name not in found})
    columns: dict[str, pa.Array] = {}
    known = np.zeros(len(ids), bool)
    for name, rows in found.items():
        expired = None
        if views[name].ttl:
            expired = pa.array(rows.event_us < (at - views[name].ttl).timestamp() * _SECOND)
        for field, values in rows.columns.items():
            columns[field] = values if expired is None else pc.if_else(expired, None, values)
        known |= rows.known
    return columns, known


def read_server(feast: "FeatureStore", key: str, ids: pa.Array, views: Mapping[str, StoredView]) -> dict[str, Rows]:
    """Rows of ids by view, by Feast's own call of any store, without regard to their age; moments in whole seconds."""
    kinds = {field: kind for view in views.values() for field, kind in view.fields.items()}
    refs = [f"{name}:{field}" for name, view in views.items() for field in view.fields]
    if not refs or not len(ids):
        return {
            name: Rows({field: pa.nulls(0, kinds[field]) for field in view.fields}, np.empty(0, np.int64))
            for name, view in views.items()
        }
    found = _by_name(feast.get_online_features(refs, {key: ids.to_pylist()}), kinds)
    rows: dict[str, Rows] = {}
    for name, view in views.items():
        known = np.any([found[field][2] for field in view.fields], axis=0)
        event_us = np.where(known, found[next(iter(view.fields))][1] * _SECOND, NEVER)
        rows[name] = Rows({field: found[field][0] for field in view.fields}, event_us)
    return rows


def _replaced(rows: Rows, kept: Mask, others: Rows) -> Rows:
    """Rows of which those that are not kept are others."""
    places = np.arange(len(kept))
    places[~kept] = len(kept) + np.arange(len(others.event_us))
    taken = pa.array(places)
    columns = {
        name: pa.concat_arrays([values, others.columns[name]]).take(taken) for name, values in rows.columns.items()
    }
    return Rows(columns, np.concatenate([rows.event_us, others.event_us])[places])


def request_columns(
    at: datetime, requested_at: datetime, device: str | None, place: str | None, n: int
) -> dict[str, pa.Array]:
    """The columns of `transforms.REQUEST` for one request, `n` times."""
    as_of, moment = (pa.scalar(one, schema.TIMESTAMP).cast(pa.int64()) for one in (at, requested_at))
    values = (as_of, moment, pa.scalar(device, pa.string()), pa.scalar(place, pa.string()))
    return {name: pa.repeat(value, n) for name, value in zip(transforms.REQUEST.names, values, strict=True)}


def with_on_demand(rows: pa.Table, plan: Plan) -> pa.Table:
    """Rows of stored features and request, with the features of the plan's on-demand views.

    A view of ours is computed by its transform, which is what Feast would call by way of pandas, in a tenth of the
    time; any other by Feast.
    """
    for view in plan.on_demand:
        transform = transforms.ON_DEMAND.get(view.name, view.transform_arrow)
        made = transform(rows)
        for field in view.features:
            rows = rows.append_column(field.name, made[field.name])
    return rows


def _by_name(response: "OnlineResponse", kinds: Fields) -> dict[str, Found]:
    """Features of an answer, a column at a time; Feast's own `to_dict` converts and looks up value by value."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    from feature_repo.stores.packed_protos import array_of

    found: dict[str, Found] = {}
    for name, one in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True):
        if name not in kinds:
            continue  # the entity key
        values = array_of(kinds[name], one.values)
        written_s = np.array([moment.seconds for moment in one.event_timestamps], np.int64)
        # Feast's Redis store answers for an unknown entity with nulls of 1970
        something = (written_s > 0) | values.is_valid().to_numpy(zero_copy_only=False)
        found[name] = (values, written_s, something & (np.array(one.statuses) != FieldStatus.NOT_FOUND))
    return found
