"""Rows of Feast's own online stores, read by Feast's own call and taken from its protobuf values column by column."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from feature_repo.epoch import microseconds
from feature_repo.plan import Fields, StoredView
from feature_repo.stock_snapshots import StockSnapshots
from feature_repo.stores.packed_layout import NEVER
from feature_repo.stores.packed_rows import Rows

if TYPE_CHECKING:
    from feast import FeatureStore, FeatureView
    from feast.online_response import OnlineResponse

    from feature_repo.stores.stock_rows import StockRows


@dataclass(frozen=True)
class _Found:
    """A feature as a stock store answers it. known: whether there is a row."""

    values: pa.Array
    event_us: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]


def read_stock(
    feast: "FeatureStore",
    ids: Mapping[str, pa.Array],
    views: Mapping[str, StoredView],
    at: datetime,
    snapshots: StockSnapshots | None,
) -> dict[str, Rows]:
    """Rows of entities by view, from snapshots where they count, null where older than the ttl."""
    found: dict[str, Rows] = {}
    for name, (rows, held) in (snapshots.read(feast, views, ids) if snapshots else {}).items():
        found[name] = rows
        if not held.all():
            outside = pa.array(np.flatnonzero(~held))
            rest = {key: of_key.take(outside) for key, of_key in ids.items()}
            found[name] = _replaced(rows, held, read_server(feast, rest, {name: views[name]})[name])
    found |= read_server(feast, ids, {name: view for name, view in views.items() if name not in found})
    return {name: _without_expired(found[name], view, at) for name, view in views.items()}


def read_server(feast: "FeatureStore", ids: Mapping[str, pa.Array], views: Mapping[str, StoredView]) -> dict[str, Rows]:
    """Rows by view whatever their age, since Feast heeds the ttl offline only."""
    keys = {key: of_key.to_pylist() for key, of_key in ids.items()}
    if not views or not all(keys.values()):
        nothing = {
            name: {field: pa.nulls(0, kind) for field, kind in one.fields.items()} for name, one in views.items()
        }
        return {name: Rows(columns, np.empty(0, np.int64)) for name, columns in nothing.items()}
    refs = [f"{name}:{field}" for name, view in views.items() for field in view.fields]
    kinds = {f"{name}__{field}": kind for name, view in views.items() for field, kind in view.fields.items()}
    answered = _by_name(feast.get_online_features(refs, keys, full_feature_names=True), kinds)
    found: dict[str, Rows] = {}
    for name, view in views.items():
        of_view = {field: answered[f"{name}__{field}"] for field in view.fields}
        known = np.any([one.known for one in of_view.values()], axis=0)
        event_us = np.where(known, next(iter(of_view.values())).event_us, NEVER)
        found[name] = Rows({field: one.values for field, one in of_view.items()}, event_us)
    return found


def renew_snapshot(feast: "FeatureStore", snapshots: StockSnapshots, view: "FeatureView", ids: pa.Array) -> None:
    """Have a view of one entity key read from a snapshot, as its rows of some ids are on the server now."""
    part = StoredView.of(view, view.features)

    def read(some: pa.Array) -> Rows:
        return read_server(feast, {view.join_keys[0]: some}, {view.name: part})[view.name]

    snapshots.renew(feast, part, ids, read)


def stock_rows_of(feast: "FeatureStore") -> "StockRows":
    """Single rows of the online store, to be counted and deleted."""
    from feature_repo.stores.stock_rows import stock_rows  # imports feast

    return stock_rows(feast._get_provider().online_store, feast.config)


def expired(rows: Rows, view: StoredView, at: datetime) -> npt.NDArray[np.bool_]:
    """Whether rows are older than their view's ttl."""
    if not view.ttl:
        return np.zeros(len(rows.event_us), bool)
    return rows.known & (rows.event_us < microseconds(at - view.ttl))


def _without_expired(rows: Rows, view: StoredView, at: datetime) -> Rows:
    stale = expired(rows, view, at)
    if not stale.any():
        return rows
    columns = {name: pc.if_else(pa.array(stale), None, values) for name, values in rows.columns.items()}
    return Rows(columns, rows.event_us)


def _replaced(rows: Rows, kept: npt.NDArray[np.bool_], others: Rows) -> Rows:
    """Rows of which those that are not kept are others."""
    places = np.arange(len(kept))
    places[~kept] = len(kept) + np.arange(len(others.event_us))
    columns = {name: pa.concat_arrays([values, others.columns[name]]) for name, values in rows.columns.items()}
    return Rows(columns, np.concatenate([rows.event_us, others.event_us])).take(places)


def _by_name(response: "OnlineResponse", kinds: Fields) -> dict[str, _Found]:
    """Features of an answer; Feast's own `to_dict` converts and looks up value by value."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    from feature_repo.stores.packed_protos import array_of

    found: dict[str, _Found] = {}
    for name, one in zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True):
        if name not in kinds:
            continue  # an entity key
        values = array_of(kinds[name], one.values)
        event_us = np.array([moment.ToMicroseconds() for moment in one.event_timestamps], np.int64)
        # Feast's Redis store answers for an unknown entity with nulls of 1970
        something = (event_us > 0) | values.is_valid().to_numpy(zero_copy_only=False)
        found[name] = _Found(values, event_us, something & (np.array(one.statuses) != FieldStatus.NOT_FOUND))
    return found
