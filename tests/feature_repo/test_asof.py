from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.schema import TIMESTAMP

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
hours = st.integers(0, 40)


def feature_store(home: Path, offline_store: str) -> FeatureStore:
    """One view of a ttl of 10 hours, whose file names its columns otherwise, joined by a key of another name."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = FileSource(
        name="rows",
        path=str(home / "rows.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
        field_mapping={"n": "count"},
    )
    view = FeatureView(
        name="counts",
        entities=[user],
        schema=[Field(name="user_id", dtype=String), Field(name="count", dtype=Int64)],
        source=source,
        ttl=timedelta(hours=10),
    )
    config = RepoConfig(
        project="asof",
        provider="local",
        registry=str(home / f"{offline_store}.db"),
        offline_store={"type": offline_store},
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    store.apply([user, view])
    return store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("asof")


@pytest.fixture(scope="module")
def stores(home: Path) -> tuple[FeatureStore, FeatureStore]:
    return feature_store(home, ROWS), feature_store(home, "duckdb")


@settings(max_examples=10, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from("uv"), hours, hours), min_size=1, max_size=12, unique=True),
    asked=st.lists(st.tuples(st.sampled_from("uvw"), hours), min_size=1, max_size=8),
)
def test_rows_found_are_those_of_feasts_own_store(
    home: Path,
    stores: tuple[FeatureStore, FeatureStore],
    rows: list[tuple[str, int, int]],
    asked: list[tuple[str, int]],
) -> None:
    moments = [pa.array([START + timedelta(hours=row[place]) for row in rows], TIMESTAMP) for place in (1, 2)]
    columns = [[row[0] for row in rows], *moments, list(range(len(rows)))]
    pq.write_table(pa.table(columns, ["user_id", "event_timestamp", "created_timestamp", "n"]), home / "rows.parquet")
    frame = pd.DataFrame(
        {
            "user_id": [user for user, _ in asked],
            "event_timestamp": [START + timedelta(hours=hour) for _, hour in asked],
            "row": range(len(asked)),
        }
    )
    ours, theirs = (store.get_historical_features(frame, ["counts:count"]).to_arrow().to_pylist() for store in stores)
    assert ours == sorted(theirs, key=lambda row: row["row"])
    assert [row["row"] for row in ours] == list(range(len(asked)))


def test_moments_without_a_zone_are_utc(home: Path, stores: tuple[FeatureStore, FeatureStore]) -> None:
    row = {"user_id": ["u"], "event_timestamp": [START], "created_timestamp": [START], "n": [7]}
    pq.write_table(pa.table(row), home / "rows.parquet")
    frame = pd.DataFrame({"user_id": ["u"], "event_timestamp": [START.replace(tzinfo=None)]})
    job = stores[0].get_historical_features(frame, ["counts:count"], full_feature_names=True)
    assert job.to_arrow().to_pylist() == [{"user_id": "u", "event_timestamp": START, "counts__count": 7}]
