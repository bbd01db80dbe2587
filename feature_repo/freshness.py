"""How far the online rows of each view are behind the data's clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict

import duckdb
import pyarrow as pa

from feature_repo import schema
from feature_repo.offline_rows import present_rows
from feature_repo.store import Store

if TYPE_CHECKING:
    from feast import FeatureView

FRESH_FOR: Final = timedelta(hours=2)  # rows come hourly: one late tick is no reason to worry, a missed one is


class Reported(TypedDict):
    """`Freshness` as JSON: times in ISO 8601, null where there is none."""

    view: str
    last_event_timestamp: str | None
    materialized_until: str | None
    lag_s: float | None
    online: bool
    state: str


@dataclass(frozen=True)
class Freshness:
    """One view's.

    last_event_timestamp: of its newest offline row. materialized_until: up to which moment of the data's clock rows
    were put online, by Feast's registry; None if never. lag: of that moment behind the clock. online: whether the
    online store holds what was put there, shown by the newest of it; a server that was emptied, or changed, does not.
    """

    view: str
    last_event_timestamp: datetime | None
    materialized_until: datetime | None
    lag: timedelta | None
    online: bool

    @property
    def ok(self) -> bool:
        """Whether models may rely on it."""
        return self.online and self.lag is not None and self.lag <= FRESH_FOR

    def to_json(self) -> Reported:
        """What `trichord features --freshness --json` prints of it."""
        return {
            "view": self.view,
            "last_event_timestamp": _iso(self.last_event_timestamp),
            "materialized_until": _iso(self.materialized_until),
            "lag_s": None if self.lag is None else self.lag.total_seconds(),
            "online": self.online,
            "state": "ok" if self.ok else "stale",
        }


def freshness(store: Store, *, clock: datetime) -> list[Freshness]:
    """Every registered view's, by name; none before the first run.

    clock: the data's now.

    Raises:
        StoreError: the rows of a view are missing, damaged or of a former definition.
        StoreUnavailableError: the online store does not answer.
    """
    views: Iterable[FeatureView] = store.feast.list_feature_views()
    return [_of_view(store, view, clock) for view in sorted(views, key=lambda view: view.name)]


def behind(store: Store, *, clock: datetime) -> dict[str, float]:
    """Seconds that each view's materialization is behind the clock; a view that never was is left out.

    It reads the registry alone, so it may be asked often. Raises StoreError where the registry cannot be read.
    """
    views: Iterable[FeatureView] = store.feast.list_feature_views()
    until = {view.name: view.most_recent_end_time for view in views}
    return {name: max((clock - one).total_seconds(), 0.0) for name, one in until.items() if one is not None}


def _of_view(store: Store, view: "FeatureView", clock: datetime) -> Freshness:
    until = view.most_recent_end_time
    path = present_rows(store.settings, view)
    newest = _newest(path, clock)
    put = _newest(path, until) if until else newest
    return Freshness(
        view=view.name,
        last_event_timestamp=newest[schema.EVENT_TIMESTAMP][0].as_py() if len(newest) else None,
        materialized_until=until,
        lag=max(clock - until, timedelta(0)) if until else None,
        online=not len(put) or _is_online(store, view, put),
    )


def _newest(path: Path | None, until: datetime) -> pa.Table:
    """The newest offline row up to a moment, as a table of one row or none."""
    if path is None:
        return pa.table({})
    query = "from read_parquet($path) where event_timestamp <= $until order by event_timestamp desc limit 1"
    with duckdb.connect() as duck:
        duck.execute("set timezone = 'UTC'")
        return duck.sql(query, params={"path": str(path), "until": until}).to_arrow_table()


def _is_online(store: Store, view: "FeatureView", row: pa.Table) -> bool:
    """Whether the online store has this row of an entity or a later one."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    from feature_repo.stores.packed import as_of

    keys = {key: row[key].to_pylist() for key in view.join_keys}
    refs = [f"{view.name}:{field.name}" for field in view.features]
    written = row[schema.EVENT_TIMESTAMP][0].as_py()
    with store.answering(), as_of(written):  # a ttl says nothing of whether it is there
        answer = store.feast.get_online_features(refs, keys).proto
    return any(
        one.statuses[0] == FieldStatus.PRESENT and one.event_timestamps[0].seconds >= int(written.timestamp())
        for name, one in zip(answer.metadata.feature_names.val, answer.results, strict=True)
        if name not in keys
    )


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
