"""Reading a plan's stored inputs from the online store, and computing what is on demand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema, transforms
from feature_repo.plan import Plan, StoredView
from feature_repo.stores.packed_layout import NEVER
from feature_repo.stores.packed_rows import Rows

if TYPE_CHECKING:
    from feast import FeatureStore, OnDemandFeatureView
    from feast.online_response import OnlineResponse

    from feature_repo.stores.packed import PackedOnlineStore

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class _Found:
    """A feature as a stock store answers it. known: whether there is a row."""

    values: Sequence[object]
    event_us: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]


def read_stored(
    feast: "FeatureStore", key: str, ids: pa.Array, views: Mapping[str, StoredView], at: datetime
) -> tuple[dict[str, pa.Array], list[str]]:
    """Stored features of distinct ids, null where older than their view's ttl, and ids of which nothing is stored."""
    columns: dict[str, pa.Array] = {key: ids}
    known = np.zeros(len(ids), bool)
    for rows in read_views(feast, {key: ids}, views, at).values():
        columns |= rows.columns
        known |= rows.known
    missing: list[str] = ids.filter(pa.array(~known)).to_pylist()
    return columns, missing


def read_views(
    feast: "FeatureStore", ids: Mapping[str, pa.Array], views: Mapping[str, StoredView], at: datetime
) -> dict[str, Rows]:
    """Rows of entities by view, values null where they are older than the view's ttl.

    ids: equally many by entity key, no entity twice.
    """
    packed = packed_store(feast)
    if packed is None:
        return _read_stock(feast, ids, views, at)
    found: dict[str, Rows] = {}
    for name, one in views.items():
        fresh_from = at - one.ttl if one.ttl else None
        found[name] = packed.read_arrow(feast.config, one.view, ids, one.fields, fresh_from=fresh_from)
    return found


def expired(rows: Rows, view: StoredView, at: datetime) -> npt.NDArray[np.bool_]:
    """Whether rows are older than their view's ttl."""
    if not view.ttl:
        return np.zeros(len(rows.event_us), bool)
    earliest_us = (at - view.ttl - _EPOCH) // timedelta(microseconds=1)
    return rows.known & (rows.event_us < earliest_us)


def packed_store(feast: "FeatureStore") -> "PackedOnlineStore | None":
    """The online store of these features if it is ours, which takes and gives Arrow."""
    from feature_repo.stores.packed import PackedOnlineStore  # imports feast

    store = feast._get_provider().online_store
    return store if isinstance(store, PackedOnlineStore) else None


def _read_stock(
    feast: "FeatureStore", ids: Mapping[str, pa.Array], views: Mapping[str, StoredView], at: datetime
) -> dict[str, Rows]:
    """By Feast's own call, of any store; it heeds the ttl offline only."""
    refs = [f"{name}:{field}" for name, view in views.items() for field in view.fields]
    keys = {key: of_key.to_pylist() for key, of_key in ids.items()}
    nothing = _Found((), np.empty(0, np.int64), np.empty(0, bool))
    answered = _by_name(feast.get_online_features(refs, keys, full_feature_names=True)) if all(keys.values()) else {}
    found: dict[str, Rows] = {}
    for name, view in views.items():
        of_view = {field: answered.get(f"{name}__{field}", nothing) for field in view.fields}
        known = np.any([one.known for one in of_view.values()], axis=0)
        rows = Rows({}, np.where(known, next(iter(of_view.values())).event_us, NEVER))
        stale = pa.array(expired(rows, view, at))
        for field, kind in view.fields.items():
            rows.columns[field] = pc.if_else(stale, None, pa.array(of_view[field].values, kind))
        found[name] = rows
    return found


def request_columns(
    at: datetime, requested_at: datetime, device: str | None, place: str | None, n: int
) -> dict[str, pa.Array]:
    """The columns of `transforms.REQUEST` for one request, `n` times."""
    as_of, moment = (pa.scalar(one, schema.TIMESTAMP).cast(pa.int64()) for one in (at, requested_at))
    values = (as_of, moment, pa.scalar(device, pa.string()), pa.scalar(place, pa.string()))
    return {name: pa.repeat(value, n) for name, value in zip(transforms.REQUEST.names, values, strict=True)}


def with_on_demand(rows: pa.Table, plan: Plan) -> pa.Table:
    """Rows of stored features and request, with the features of the plan's on-demand views."""
    for view in plan.on_demand:
        made = on_demand_features(view, rows)
        for field in view.features:
            rows = rows.append_column(field.name, made[field.name])
    return rows


def on_demand_features(view: "OnDemandFeatureView", rows: pa.Table) -> pa.Table:
    """What an on-demand view makes of its inputs.

    A view of ours is computed by its transform, which is what Feast would call by way of pandas, in a tenth of the
    time; any other by Feast.
    """
    made: pa.Table = transforms.ON_DEMAND.get(view.name, view.transform_arrow)(rows)
    return made


def _by_name(response: "OnlineResponse") -> dict[str, _Found]:
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    values = response.to_dict()
    found: dict[str, _Found] = {}
    for name, one in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True):
        event_us = np.array([moment.ToMicroseconds() for moment in one.event_timestamps], np.int64)
        # Feast's Redis store answers for an unknown entity with nulls of 1970
        something = (event_us > 0) | np.array([value is not None for value in values[name]], bool)
        found[name] = _Found(values[name], event_us, something & (np.array(one.statuses) != FieldStatus.NOT_FOUND))
    return found
