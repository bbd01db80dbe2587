"""Features of a service as they were at each row's moment: the point-in-time join, and what is on demand."""

from typing import TYPE_CHECKING, Final

import pyarrow as pa

from feature_repo.errors import StoreError
from feature_repo.online import with_on_demand
from feature_repo.plan import Fields, Plan, entity_rows

if TYPE_CHECKING:
    from feast import FeatureStore

_ASOF: Final = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
_ROW: Final = "__row"  # Feast does not promise to keep the order of rows


def features_at(feast: "FeatureStore", plan: Plan, rows: pa.Table) -> pa.Table:
    """Rows in their order with a plan's features, null for unknown entities; see `Store.training_frame`.

    Stored inputs come from Feast's offline store; on-demand views are computed as they are online.

    Raises:
        StoreError: the offline store answered another number of rows.
    """
    entities = entity_rows(rows, plan).append_column(_ROW, pa.array(range(len(rows)), pa.int64()))
    stored = {view: part.fields for of_key in plan.stored.values() for view, part in of_key.items()}
    takes_arrow = feast.config.offline_store.type == _ASOF  # Feast's own stores take pandas alone
    job = feast.get_historical_features(
        entities if takes_arrow else entities.to_pandas(),
        [f"{view}:{field}" for view, fields in stored.items() for field in fields],
    )
    found = job.to_arrow().sort_by(_ROW)
    if len(found) != len(rows):
        raise StoreError(f"{len(rows)} rows asked, {len(found)} answered by the offline store")
    for fields in stored.values():
        entities = _with_columns(entities, found, fields)
    return _with_columns(rows, with_on_demand(entities, plan), plan.columns)


def _with_columns(rows: pa.Table, found: pa.Table, columns: Fields) -> pa.Table:
    """Rows with the named columns of another table of the same rows, in their types."""
    for name, kind in columns.items():
        rows = rows.append_column(pa.field(name, kind), found[name].cast(kind))
    return rows
