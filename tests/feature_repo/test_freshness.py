import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from feature_repo import compute
from feature_repo.errors import StoreError, StoreUnavailableError
from feature_repo.freshness import FRESH_FOR, Freshness, freshness
from feature_repo.settings import Settings
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOW = START + 10 * HOUR
Row = tuple[str, str, float, dict[str, object]]


@pytest.fixture
def fresh(tmp_path: Path, make_events: Callable[[Sequence[Row]], pa.Table], items: pa.Table) -> Store:
    """Two views with rows; events at hours 1 and 9."""
    store = Store(Settings(home=tmp_path))
    store.apply()
    log = make_events([("u", "a", 1, {}), ("v", "b", 9, {})])
    store.write_view("user_activity", compute.view_rows("user_activity", log, items, until=NOW))
    store.write_view("item_content", compute.content_rows(items))
    return store


def of(store: Store, view: str, clock: datetime) -> Freshness:
    return {one.view: one for one in freshness(store, clock=clock)}[view]


def test_a_view_is_stale_until_it_is_materialized_and_again_when_the_clock_has_moved_on(fresh: Store) -> None:
    before = of(fresh, "user_activity", NOW)
    newest = START + 9 * HOUR + compute.TICK
    assert before == Freshness("user_activity", newest, None, None, online=False)
    assert not before.ok
    fresh.materialize(NOW)
    assert of(fresh, "user_activity", NOW) == Freshness("user_activity", newest, NOW, timedelta(0), online=True)
    for later, ok in [(FRESH_FOR, True), (FRESH_FOR + compute.TICK, False)]:
        found = of(fresh, "user_activity", NOW + later)
        assert (found.lag, found.ok, found.to_json()["state"]) == (later, ok, "ok" if ok else "stale")


def test_a_view_without_rows_has_none_to_be_behind_with(fresh: Store) -> None:
    fresh.materialize(NOW)
    without = of(fresh, "item_vectors", NOW)
    assert without.to_json() == {
        "view": "item_vectors",
        "last_event_timestamp": None,
        "materialized_until": None,
        "lag_s": None,
        "online": True,
        "state": "stale",
    }
    assert len(freshness(fresh, clock=NOW)) == 7


def test_an_online_store_that_lost_its_rows_is_seen(fresh: Store, tmp_path: Path) -> None:
    fresh.materialize(NOW)
    emptied = fresh.settings.model_copy(update={"home": tmp_path})
    shutil.rmtree(tmp_path / "online")
    again = Store(emptied)
    with pytest.raises(StoreUnavailableError, match="online store"):
        freshness(again, clock=NOW)
    again.apply()
    found = of(again, "user_activity", NOW)
    assert (found.materialized_until, found.online, found.ok) == (NOW, False, False)
    again.materialize(NOW)
    assert of(again, "user_activity", NOW) == replace(found, online=True)


def test_a_registry_that_is_damaged_is_named_and_made_again(fresh: Store, tmp_path: Path) -> None:
    fresh.materialize(NOW)
    (tmp_path / "registry.db").write_bytes(b"garbage")
    with pytest.raises(StoreError, match=r"registry.db: not a Feast registry .*; delete it, and `trichord run` makes"):
        freshness(Store(fresh.settings), clock=NOW)
    (tmp_path / "registry.db").unlink()
    again = Store(fresh.settings)
    again.apply()
    found = of(again, "user_activity", NOW)
    assert (found.materialized_until, found.online, found.ok) == (None, True, False)
    again.materialize(NOW)
    assert of(again, "user_activity", NOW).ok


def test_rows_older_than_their_ttl_are_online_all_the_same(
    fresh: Store, make_events: Callable[[Sequence[Row]], pa.Table], items: pa.Table
) -> None:
    years = timedelta(days=3000)  # before START, which is years before the wall clock of whoever runs this
    log = make_events([("u", "a", -years / HOUR, {})])
    fresh.write_view(
        "user_item_affinity", compute.view_rows("user_item_affinity", log, items, until=START - years + HOUR)
    )
    fresh.materialize(NOW)
    assert of(fresh, "user_item_affinity", NOW).ok


def test_a_row_that_was_materialized_late_is_not_taken_for_one_that_is_online(fresh: Store) -> None:
    fresh.materialize(START + 2 * HOUR)
    found = of(fresh, "user_activity", NOW)
    assert (found.last_event_timestamp, found.materialized_until) == (START + 9 * HOUR + compute.TICK, START + 2 * HOUR)
    assert (found.lag, found.online, found.ok) == (8 * HOUR, True, False)
