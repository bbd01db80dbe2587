"""Reading a plan's stored inputs from the online store, and computing what is on demand."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import pyarrow as pa

from feature_repo import schema, transforms
from feature_repo.columns import Column, Columns, Places, columns_of, table_of
from feature_repo.epoch import microseconds
from feature_repo.errors import StoreError
from feature_repo.plan import Plan, StoredView
from feature_repo.stock_online import read_stock
from feature_repo.stock_snapshots import StockSnapshots
from feature_repo.stores.packed_keys import SomeIds
from feature_repo.stores.packed_rows import Rows

if TYPE_CHECKING:
    from feast import FeatureStore, OnDemandFeatureView

    from feature_repo.stores.packed import PackedOnlineStore

_MISSING: Final = b"missing"

# Stored features of some views of an entity key, and ids of which nothing is stored
Read: TypeAlias = Callable[[str, Mapping[str, StoredView]], tuple[dict[str, Column], list[str]]]


@dataclass(frozen=True)
class Ids:
    """Ids of an entity key, each once, and the place among them of every row's; None where none is there twice.

    known: the same, where they are some of those that are asked for time and again.
    """

    distinct: pa.Array
    take: Places | None
    known: SomeIds | None = None

    def __len__(self) -> int:
        """Of rows."""
        return len(self.distinct if self.take is None else self.take)

    @classmethod
    def of(cls, ids: "Sequence[str] | pa.StringArray") -> "Ids":
        """By the ids of all rows."""
        every = pa.array(ids, pa.string())
        coded = every.dictionary_encode()
        if len(coded.dictionary) == len(every):
            return cls(every, None)
        return cls(coded.dictionary, coded.indices.to_numpy().astype(np.int64))


def ids_of(user_id: str, items: Ids) -> dict[str, Ids]:
    """One user beside each of some items."""
    return {
        schema.USER_ID: Ids(pa.array([user_id], pa.string()), np.zeros(len(items), np.int64)),
        schema.ITEM_ID: items,
    }


@dataclass(frozen=True)
class Request:
    """What is asked: what is known at a moment; the hour and weekday of another, device and place count."""

    at: datetime
    requested_at: datetime
    device: str | None
    place: str | None


def count_of(ids: Mapping[str, Sequence[object]], *, some: bool = False) -> int:
    """How many ids there are of each entity key. some: whether there must be any.

    Raises:
        StoreError: they are not equally many, or none where there must be some.
    """
    sizes = {key: len(of_key) for key, of_key in ids.items()}
    if len(set(sizes.values())) != 1 or (some and 0 in sizes.values()):
        raise StoreError(f"entities have {sizes} ids; give equally many of each{', at least one' if some else ''}")
    return next(iter(sizes.values()))


def answer(plan: Plan, request: Request, read: Read) -> tuple[dict[str, Column], dict[str, list[str]]]:
    """Entity keys and features of a plan, and ids by entity key of which nothing is stored.

    read: stored features of an entity key's views.
    """
    found: dict[str, Column] = {}
    unknown: dict[str, list[str]] = {}
    for key, views in plan.stored.items():
        columns, unknown[key] = read(key, views)
        found |= columns
    if plan.on_demand:
        n = len(next(iter(found.values())))
        of_request = request_columns(request.at, request.requested_at, request.device, request.place, n)
        found = on_demand_columns(found | of_request, plan)
    return {name: found[name] for name in [*plan.stored, *plan.columns]}, unknown


def table_of_answer(plan: Plan, columns: Columns, unknown: Mapping[str, list[str]]) -> pa.Table:
    """What `answer` found, with what `missing` tells."""
    schema_ = plan.answer.with_metadata({_MISSING: json.dumps(unknown)})
    return pa.Table.from_arrays([column.plain() for column in columns.values()], schema=schema_)


def missing(answered: pa.Table) -> dict[str, list[str]]:
    """Ids by entity key of which the online store knew nothing, of what `Store.online_rows` answered."""
    named: dict[str, list[str]] = json.loads(answered.schema.metadata[_MISSING])
    return named


def read_stored(
    feast: "FeatureStore",
    key: str,
    ids: Ids,
    views: Mapping[str, StoredView],
    at: datetime,
    *,
    snapshots: StockSnapshots | None = None,
) -> tuple[dict[str, Column], list[str]]:
    """Stored features, null where older than their view's ttl, and ids of which nothing is stored."""
    columns: dict[str, pa.Array] = {key: ids.distinct}
    known = np.zeros(len(ids.distinct), bool)
    for rows in read_views(feast, {key: ids.distinct}, views, at, snapshots=snapshots, known=ids.known).values():
        columns |= rows.columns
        known |= rows.known
    missing: list[str] = [] if known.all() else ids.distinct.filter(pa.array(~known)).to_pylist()
    return {name: Column(values, ids.take) for name, values in columns.items()}, missing


def read_views(
    feast: "FeatureStore",
    ids: Mapping[str, pa.Array],
    views: Mapping[str, StoredView],
    at: datetime,
    *,
    snapshots: StockSnapshots | None = None,
    known: SomeIds | None = None,
) -> dict[str, Rows]:
    """Rows of entities by view, values null where they are older than the view's ttl.

    ids: equally many by entity key, no entity twice. snapshots: of a stock store. known: see `Ids`.
    """
    from feature_repo.stores.packed import Part  # imports feast

    packed = packed_store(feast)
    if packed is None:
        return read_stock(feast, ids, views, at, snapshots)
    parts = [
        Part(one.layout(feast.project), tuple(one.fields), at - one.ttl if one.ttl else None) for one in views.values()
    ]
    return dict(zip(views, packed.read_parts(feast.config, parts, ids, known=known), strict=True))


def packed_store(feast: "FeatureStore") -> "PackedOnlineStore | None":
    """The online store of these features if it is ours, which takes and gives Arrow."""
    from feature_repo.stores.packed import PackedOnlineStore  # imports feast

    store = feast._get_provider().online_store
    return store if isinstance(store, PackedOnlineStore) else None


def request_columns(
    at: datetime, requested_at: datetime, device: str | None, place: str | None, n: int
) -> dict[str, Column]:
    """The columns of `transforms.REQUEST` for one request and `n` rows."""
    first = np.zeros(n, np.int64)
    values = zip(transforms.REQUEST, (microseconds(at), microseconds(requested_at), device, place), strict=True)
    return {field.name: Column(pa.array([value], field.type), first) for field, value in values}


def with_on_demand(rows: pa.Table, plan: Plan) -> pa.Table:
    """Rows of stored features and request, with the features of the plan's on-demand views."""
    return table_of(on_demand_columns(columns_of(rows), plan))


def on_demand_columns(columns: Columns, plan: Plan) -> dict[str, Column]:
    """The same by columns."""
    found = dict(columns)
    for view in plan.on_demand:
        made = on_demand_features(view, found)
        found |= {field.name: made[field.name] for field in view.features}
    return found


def on_demand_features(view: "OnDemandFeatureView", columns: Columns) -> dict[str, Column]:
    """What an on-demand view makes of its inputs, beside which others may stand.

    A view of ours is computed by its transform, which is what Feast would call by way of pandas, in a tenth of the
    time; any other by Feast.
    """
    ours = transforms.ON_DEMAND.get(view.name)
    return ours(columns) if ours is not None else columns_of(view.transform_arrow(table_of(columns)))
