"""Reading a plan's stored inputs from the online store, and computing what is on demand."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema, transforms
from feature_repo.plan import Fields, Plan, StoredView

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.online_response import OnlineResponse

    from feature_repo.stores.packed import PackedOnlineStore

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
) -> tuple[dict[str, pa.Array], list[str]]:
    """Stored features of distinct ids, null where older than their view's ttl, and ids of which nothing is stored.

    take: places among the ids of the rows wanted; default each once.
    """
    packed = packed_store(feast)
    if packed is not None:
        columns, known = _read_packed(feast, packed, key, ids, views, at, take)
    else:
        columns, known = _read_stock(feast, key, ids, views, at)
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
    feast: "FeatureStore", key: str, ids: pa.Array, views: Mapping[str, StoredView], at: datetime
) -> tuple[dict[str, pa.Array], Mask]:
    """By Feast's own call, of any store; it heeds the ttl offline only."""
    refs = [f"{name}:{field}" for name, view in views.items() for field in view.fields]
    kinds = {field: kind for view in views.values() for field, kind in view.fields.items()}
    found = _by_name(feast.get_online_features(refs, {key: ids.to_pylist()}), kinds) if len(ids) else {}
    columns: dict[str, pa.Array] = {}
    known = np.zeros(len(ids), bool)
    for view in views.values():
        for field, kind in view.fields.items():
            if field not in found:
                columns[field] = pa.nulls(0, kind)
                continue
            columns[field], written_s, present = found[field]
            if view.ttl:
                expired = written_s < at.timestamp() - view.ttl.total_seconds()
                columns[field] = pc.if_else(pa.array(expired), None, columns[field])
            known |= present
    return columns, known


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
