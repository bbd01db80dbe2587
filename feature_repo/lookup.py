"""Online features of any entities, with what a Feast server tells of them: a status and a moment for each row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from feature_repo.asked import Asked, Wanted, resolve
from feature_repo.columns import Column
from feature_repo.errors import StoreError
from feature_repo.online import count_of, on_demand_features, read_views, request_columns
from feature_repo.plan import StoredView, arrow_fields
from feature_repo.stock_online import expired
from feature_repo.store import Store
from feature_repo.stores.packed_layout import NEVER
from feature_repo.stores.packed_rows import Rows

if TYPE_CHECKING:
    from feast import OnDemandFeatureView

# What is known of a row: places in STATUSES, which holds Feast's names
PRESENT: Final = 0
NOT_FOUND: Final = 1
OUTSIDE_MAX_AGE: Final = 2
STATUSES: Final = ("PRESENT", "NOT_FOUND", "OUTSIDE_MAX_AGE")

Entities: TypeAlias = Mapping[str, Sequence[str | int]]


@dataclass(frozen=True)
class Part:
    """Columns of an answer whose rows share their moments: the entity keys, or what is asked of one view.

    view: empty for the entity keys. statuses: a place in `STATUSES`. event_us: microseconds since 1970, `NEVER` where
    there is no row, and for what is not stored.
    """

    view: str
    columns: dict[str, pa.Array]
    statuses: npt.NDArray[np.int8]
    event_us: npt.NDArray[np.int64]


def look_up(store: Store, entities: Entities, asked: Asked, *, at: datetime) -> list[Part]:
    """Features of entities, a row for each place in their ids: the keys, then view by view in the order asked.

    entities: equally many ids by entity key; a key that no feature needs is passed over. Columns of the request that
    on-demand views take stand beside them; those of `transforms.REQUEST` may be left out, and are `at` and unknown
    surroundings then. A row older than its view's ttl is masked as by Feast's offline join and marked
    `OUTSIDE_MAX_AGE`; on-demand features are computed from what remains.

    Raises:
        StoreError: no such service, feature or entity key, two columns of one name, ids of unequal number, or a value
            that is not of its column's type.
        StoreUnavailableError: the online store does not answer.
    """
    n = count_of(entities, some=True)
    wanted = resolve(store, asked, entities.keys())
    keys = {name: _column(name, entities[name], kind) for name, kind in wanted.keys.items()}
    with store.answering():
        rows = _read(store, keys, wanted, at)
    present, never = np.full(n, PRESENT, np.int8), np.full(n, NEVER)
    parts = [Part("", {name: keys[name] for name in entities if name in keys}, present, never)]
    for view, features in wanted.features.items():
        if view in wanted.on_demand:
            made = on_demand_features(wanted.on_demand[view], _inputs(wanted.on_demand[view], rows, entities, at))
            columns = {name: made[name].plain() for name in features}
            parts.append(Part(view, _named(view, columns, asked), present, never))
        else:
            columns = {name: rows[view].columns[name] for name in features}
            statuses = _statuses(rows[view], wanted.stored[view], at)
            parts.append(Part(view, _named(view, columns, asked), statuses, rows[view].event_us))
    return parts


def _column(name: str, values: Sequence[str | int], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array([str(one) for one in values], pa.string()).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise StoreError(f"{name} holds a value that is no {kind}: {error}") from error


def _read(store: Store, keys: Mapping[str, pa.Array], wanted: Wanted, at: datetime) -> dict[str, Rows]:
    """Rows of each view, for each place in the ids; no entity is read twice."""
    together: dict[tuple[str, ...], dict[str, StoredView]] = {}
    for name, view in wanted.stored.items():
        together.setdefault(tuple(view.view.join_keys), {})[name] = view
    found: dict[str, Rows] = {}
    for names, views in together.items():
        places: dict[tuple[object, ...], int] = {}
        entities = zip(*(keys[name].to_pylist() for name in names), strict=True)
        taken = np.array([places.setdefault(one, len(places)) for one in entities])
        first = np.unique(taken, return_index=True)[1]
        distinct = {name: keys[name].take(pa.array(first)) for name in names}
        take = None if len(first) == len(taken) else taken
        read = read_views(store.feast, distinct, views, at, snapshots=store.snapshots)
        found |= read if take is None else {name: rows.take(take) for name, rows in read.items()}
    return found


def _statuses(rows: Rows, view: StoredView, at: datetime) -> npt.NDArray[np.int8]:
    statuses = np.where(rows.known, PRESENT, NOT_FOUND).astype(np.int8)
    statuses[expired(rows, view, at)] = OUTSIDE_MAX_AGE
    return statuses


def _inputs(
    view: "OnDemandFeatureView", rows: Mapping[str, Rows], entities: Entities, at: datetime
) -> dict[str, Column]:
    """What an on-demand view takes: of the request, and of stored views."""
    unsaid = request_columns(at, at, None, None, len(next(iter(entities.values()))))
    columns: dict[str, Column] = {}
    for source in view.source_request_sources.values():
        for name, kind in arrow_fields(source.schema).items():
            if name not in entities and name not in unsaid:
                raise StoreError(f"{view.name} takes {name} of the request; give it beside the ids, a value for each")
            columns[name] = Column(_column(name, entities[name], kind)) if name in entities else unsaid[name]
    for projection in view.source_feature_view_projections.values():
        columns |= {one.name: Column(rows[projection.name].columns[one.name]) for one in projection.features}
    return columns


def _named(view: str, columns: dict[str, pa.Array], asked: Asked) -> dict[str, pa.Array]:
    return {f"{view}__{name}": column for name, column in columns.items()} if asked.full_names else columns
