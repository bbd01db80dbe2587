import multiprocessing
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import compute, schema
from feature_repo.backfill import backfill
from feature_repo.errors import StoreError
from feature_repo.freshness import freshness
from feature_repo.settings import Settings
from feature_repo.sources import rows_path
from feature_repo.store import Store
from feature_repo.stores import packed

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
DAYS = 8
NOW = START + DAYS * DAY
VIEWS = ["user_activity", "item_content"]
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]

rows = st.tuples(st.sampled_from("uvw"), st.sampled_from("abc"), st.integers(0, 24 * DAYS - 1), st.just({}))


def filled(home: Path, events: pa.Table, items: pa.Table) -> Store:
    """A new store with rows offline only, some of them after NOW."""
    store = Store(Settings(home=home))
    store.apply()
    store.write_view("user_activity", compute.view_rows("user_activity", events, items, until=NOW + 5 * DAY))
    store.write_view("item_content", compute.content_rows(items))
    return store


def online(store: Store) -> list[list[dict[str, object]]]:
    """Everything that is online of the users and items, without the moment of writing."""
    users = store.online_rows({"user_id": ["u", "v", "w"]}, at=NOW, service="retrieval_v1")
    return [users.to_pylist(), store.online_frame("u", ["a", "b", "c", "d"], at=NOW).to_pylist()]


@settings(max_examples=5)
@given(log=st.lists(rows, min_size=1, max_size=20), days=st.permutations(range(DAYS)))
def test_days_in_any_order_write_what_one_materialization_does(
    tmp_path_factory: pytest.TempPathFactory, make_events: Events, items: pa.Table, log: list[Row], days: list[int]
) -> None:
    events = make_events(log)
    at_once, by_day = (filled(tmp_path_factory.mktemp(name), events, items) for name in ("at_once", "by_day"))
    at_once.materialize(NOW)
    written = [backfill(by_day, START + day * DAY, START + (day + 1) * DAY, clock=NOW) for day in days]
    assert online(by_day) == online(at_once)
    users = len(set(events[schema.USER_ID].to_pylist()))
    assert {view: sum(one[view] for one in written) for view in written[0]} == dict(zip(VIEWS, (users, 4), strict=True))


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_a_day_whose_backfill_was_killed_is_made_up_for_by_running_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_events: Events, items: pa.Table, seconds: float
) -> None:
    monkeypatch.setattr(packed, "_BATCH", 10)
    events = make_events([(f"u{place:03}", "abcd"[place % 4], place % (24 * DAYS), {}) for place in range(400)])
    killed, whole = (filled(tmp_path / name, events, items) for name in ("killed", "whole"))
    for store in (killed, whole):
        store.materialize(START + DAY)
    day = (START + 3 * DAY, START + 4 * DAY)
    worker = multiprocessing.get_context("fork").Process(target=backfill, args=(killed, *day), kwargs={"clock": NOW})
    worker.start()
    time.sleep(seconds)
    worker.kill()
    worker.join()
    for store in (killed, whole):
        backfill(store, *day, clock=NOW)
    users = {"user_id": sorted(set(events[schema.USER_ID].to_pylist()))}
    of_killed, of_whole = (one.online_rows(users, at=NOW, service="retrieval_v1") for one in (killed, whole))
    assert of_killed == of_whole


def test_ticks_that_were_missed_or_failed_are_made_up_for_by_the_next(
    tmp_path: Path, make_events: Events, items: pa.Table
) -> None:
    events = make_events([("u", "a", 1, {}), ("v", "b", 25, {}), ("u", "c", 50, {}), ("w", "a", 80, {})])
    store, once = (filled(tmp_path / name, events, items) for name in ("ticks", "once"))
    store.materialize(START + DAY)
    rows = rows_path(store.settings, "user_activity")
    content = rows.read_bytes()
    rows.unlink()
    with pytest.raises(StoreError, match=r"user_activity.parquet: missing"):
        store.materialize(START + 2 * DAY)
    rows.write_bytes(content)
    late = {one.view: one for one in freshness(store, clock=NOW)}["user_activity"]
    assert (late.materialized_until, late.lag, late.ok) == (START + DAY, NOW - START - DAY, False)
    for one in (store, once):
        one.materialize(NOW)
        assert {view.view: view.ok for view in freshness(one, clock=NOW) if view.view in VIEWS} == dict.fromkeys(
            VIEWS, True
        )
    assert online(store) == online(once)


def test_a_day_of_the_past_touches_nothing_newer(tmp_path: Path, make_events: Events, items: pa.Table) -> None:
    store = filled(tmp_path, make_events([("u", "a", 1, {}), ("u", "b", 24 * 6, {}), ("v", "a", 2, {})]), items)
    store.materialize(NOW)
    before = online(store)
    backfill(store, START, START + DAY, clock=NOW)
    assert online(store) == before
