"""Materialization by the Arrow engine, against Feast's local engine and SQLite store as the oracle."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Float32, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.errors import StoreError
from feature_repo.schema import TIMESTAMP

START = datetime(2024, 1, 1, tzinfo=UTC)
ENGINE = "feature_repo.stores.arrow_engine.ArrowComputeEngine"
PACKED = "feature_repo.stores.packed.PackedOnlineStore"
USERS = ["a", "b", "c"]
FEATURES = ["counts:count", "counts:share", "counts:tags"]

Row = tuple[str, int, int, int | None]  # user, hour, hour of writing, number


def hours(n: int) -> datetime:
    return START + timedelta(hours=n)


def feature_store(home: Path, *, ours: bool, validated: bool = False) -> FeatureStore:
    """One view whose file names its columns otherwise, over rows.parquet."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = FileSource(
        name="rows",
        path=str(home / "rows.parquet"),
        timestamp_field="happened",
        created_timestamp_column="written",
        field_mapping={"n": "count"},
    )
    fields = [
        Field(name="user_id", dtype=String),
        Field(name="count", dtype=Int64),
        Field(name="share", dtype=Float32),
        Field(name="tags", dtype=Array(String)),
    ]
    view = FeatureView(
        name="counts", entities=[user], schema=fields, source=source, ttl=timedelta(0), enable_validation=validated
    )
    name = "ours" if ours else "theirs"
    stock = {"online_store": {"type": "sqlite", "path": str(home / "online.db")}, "batch_engine": {"type": "local"}}
    packed = {"online_store": {"type": PACKED, "path": str(home / "online")}, "batch_engine": {"type": ENGINE}}
    config = RepoConfig(
        project="engine",
        provider="local",
        registry=str(home / f"{name}.db"),
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
        repo_path=home,
        materialization={"pull_latest_features": True},
        **(packed if ours else stock),
    )
    store = FeatureStore(config=config)
    store.apply([user, view])
    return store


def write_rows(home: Path, rows: list[Row], *, zone: str | None = "UTC") -> None:
    moments = [
        pa.array([hours(row[place]) for row in rows], TIMESTAMP).cast(pa.timestamp("us", zone)) for place in (1, 2)
    ]
    numbers = pa.array([row[3] for row in rows], pa.int64())
    shares = numbers.cast(pa.float32())
    tags = pa.array([None if row[3] is None else ["t"] * row[3] for row in rows], pa.list_(pa.string()))
    columns = [[row[0] for row in rows], *moments, numbers, shares, tags]
    pq.write_table(pa.table(columns, ["user_id", "happened", "written", "n", "share", "tags"]), home / "rows.parquet")


def answer(store: FeatureStore) -> dict[str, list[object]]:
    found: dict[str, list[object]] = store.get_online_features(FEATURES, {"user_id": USERS}).to_dict()
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write_rows(tmp_path, [("a", 0, 0, 0)])
    return tmp_path


rows = st.lists(
    st.tuples(st.sampled_from(USERS), st.integers(0, 9), st.integers(0, 3), st.none() | st.integers(0, 4)),
    min_size=1,
    max_size=15,
    unique_by=lambda row: row[:3],
)


@settings(max_examples=15)
@given(rows=rows, ends=st.lists(st.integers(0, 10), min_size=1, max_size=3), zone=st.sampled_from(["UTC", None]))
def test_windows_leave_what_feasts_engine_leaves(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Row], ends: list[int], zone: str | None
) -> None:
    home = tmp_path_factory.mktemp("engine")
    write_rows(home, rows, zone=zone)
    ours, theirs = (feature_store(home, ours=mine) for mine in (True, False))
    start = 0
    for end in sorted(ends):
        for store in (ours, theirs):
            store.materialize(hours(start), hours(end))
        start = end
        assert answer(ours) == answer(theirs)
    ours.teardown()
    theirs.teardown()


def test_a_window_of_older_rows_changes_nothing(home: Path) -> None:
    write_rows(home, [("a", 1, 1, 1), ("a", 5, 5, 5), ("b", 1, 1, 2)])
    store = feature_store(home, ours=True)
    store.materialize(hours(4), hours(6))
    store.materialize(hours(0), hours(4))
    assert answer(store)["count"] == [5, 2, None]
    store.materialize(hours(0), hours(6))
    assert answer(store)["count"] == [5, 2, None]


def test_increments_start_where_the_last_one_ended(home: Path) -> None:
    write_rows(home, [("a", 1, 1, 1), ("b", 5, 5, 5)])
    store = feature_store(home, ours=True)
    store.materialize(hours(0), hours(4))
    assert answer(store)["count"] == [1, None, None]
    store.materialize_incremental(hours(6))
    assert answer(store)["count"] == [1, 5, None]
    (_, first_end), (second_start, _) = store.get_feature_view("counts").materialization_intervals
    assert (first_end, second_start) == (hours(4), hours(4))


def test_a_folder_of_files_and_rows_without_a_time_of_writing_are_read(home: Path) -> None:
    write_rows(home, [("a", 1, 0, 1), ("b", 5, 0, 5)])
    table = pq.read_table(home / "rows.parquet")
    table = table.set_column(2, "written", pa.nulls(2, TIMESTAMP))
    (home / "rows.parquet").unlink()
    (home / "rows.parquet" / "day").mkdir(parents=True)
    for part in range(2):
        pq.write_table(table.slice(part, 1), home / "rows.parquet" / "day" / f"{part}.parquet")
    store = feature_store(home, ours=True)
    store.materialize(hours(0), hours(6))
    assert answer(store)["count"] == [1, 5, None]


def test_what_it_cannot_do_is_left_to_feasts_engine(home: Path) -> None:
    write_rows(home, [("a", 1, 1, 1), ("b", 5, 5, 5)])
    store = feature_store(home, ours=True, validated=True)
    store.materialize(hours(0), hours(6))
    assert answer(store)["count"] == [1, 5, None]


def test_rows_that_cannot_be_read_are_named_and_what_is_online_stays(home: Path) -> None:
    store = feature_store(home, ours=True)
    store.materialize(hours(0), hours(6))
    (home / "rows.parquet").unlink()
    with pytest.raises(StoreError, match=r"rows.parquet: rows of feature view counts cannot be read"):
        store.materialize(hours(0), hours(6))
    (home / "rows.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(StoreError, match=r"rows.parquet: rows of feature view counts cannot be read"):
        store.materialize(hours(0), hours(6))
    assert answer(store)["count"] == [0, None, None]
