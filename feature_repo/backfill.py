"""Writing online again what changed in some days, without touching anything newer."""

from datetime import datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from feature_repo import schema
from feature_repo.epoch import EPOCH
from feature_repo.offline_rows import present_rows, reading
from feature_repo.store import Store

if TYPE_CHECKING:
    from feast import FeatureView


def backfill(store: Store, since: datetime, until: datetime, *, clock: datetime) -> dict[str, int]:
    """Write every entity's latest row up to `clock` whose moment lies in [since, until); rows written, by view.

    The latest row of an entity has one moment, so windows that do not overlap write different entities: they may run
    in any order, again or at the same time, and all of them together write what `Store.materialize(clock)` does.
    Feast's own `materialize` of a window writes its latest rows even where there are newer ones, which its SQLite and
    Postgres stores then lose. Rows that were pushed after `clock` are overwritten: refresh them afterwards. Views
    without any rows are passed over.

    Raises:
        StoreError: the rows of a view are missing, damaged or of a former definition.
        StoreUnavailableError: the online store does not answer.
    """
    written: dict[str, int] = {}
    for view in store.feast.list_feature_views():
        path = present_rows(store.settings, view)
        if path is None:
            continue
        with reading([path]):
            rows = _latest(store, view, clock)
        moments = rows[schema.EVENT_TIMESTAMP].cast(schema.TIMESTAMP)
        inside = pc.and_(
            pc.greater_equal(moments, pa.scalar(since, schema.TIMESTAMP)),
            pc.less(moments, pa.scalar(until, schema.TIMESTAMP)),
        )
        store.push(view.name, rows.filter(inside))
        written[view.name] = int(pc.sum(inside).as_py() or 0)
    store.renew_snapshots(written)
    return written


def _latest(store: Store, view: "FeatureView", clock: datetime) -> pa.Table:
    """The latest row of every entity up to a moment, by Feast's offline store."""
    from feast.infra.offline_stores.offline_utils import get_offline_store_from_config

    from feature_repo.sources import rows_source

    config = store.feast.config
    job = get_offline_store_from_config(config.offline_store).pull_latest_from_table_or_query(
        config=config,
        data_source=rows_source(store.settings, view.name),
        join_key_columns=view.join_keys,
        feature_name_columns=[field.name for field in view.features],
        timestamp_field=schema.EVENT_TIMESTAMP,
        created_timestamp_column=schema.CREATED_TIMESTAMP,
        start_date=EPOCH,
        end_date=clock,
    )
    return job.to_arrow()
