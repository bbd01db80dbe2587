"""What an answer of the ASOF offline store can be turned into, and the store's other duties."""

import inspect
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, RequestSource, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.types import Int64, String

from feature_repo.schema import TIMESTAMP

START = datetime(2024, 1, 1, tzinfo=UTC)
OURS = "feature_repo.stores.asof.AsofDuckDBOfflineStore"
ROWS = {"user_id": ["u", "u", "v"], "event_timestamp": [0, 5, 1], "created_timestamp": [0, 5, 1], "n": [1, None, 3]}


def at(hours: float) -> datetime:
    return START + timedelta(hours=hours)


def rows(columns: dict[str, list[Any]]) -> pa.Table:
    """Rows of the view; stamps are hours since START."""
    types = {"user_id": pa.string(), "n": pa.int64()}
    stamps = {name: [at(value) for value in values] for name, values in columns.items() if name not in types}
    return pa.table({name: pa.array(values, types.get(name, TIMESTAMP)) for name, values in (columns | stamps).items()})


def _plus(inputs: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"n_plus": inputs["n"] + inputs["bonus"], "n_twice": inputs["n"] * 2})


def feature_store(home: Path, kind: str, **settings: object) -> FeatureStore:
    """One view and one on-demand view over it, registered."""
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    source = FileSource(
        name="rows",
        path=str(home / "rows.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    view = FeatureView(
        name="counts",
        entities=[user],
        schema=[Field(name="user_id", dtype=String), Field(name="n", dtype=Int64)],
        source=source,
        ttl=timedelta(0),
    )
    config = RepoConfig(
        project="asof",
        provider="local",
        registry=str(home / f"{kind}.db"),
        offline_store={"type": kind, **settings},
        online_store={"type": "sqlite", "path": str(home / "online.db")},
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # on-demand views are experimental in Feast
        plus = OnDemandFeatureView(
            name="plus",
            sources=[RequestSource(name="request", schema=[Field(name="bonus", dtype=Int64)]), view],
            schema=[Field(name="n_plus", dtype=Int64), Field(name="n_twice", dtype=Int64)],
            udf=_plus,
            udf_string=inspect.getsource(_plus),
            mode="pandas",
        )
        store.apply([user, view, plus])
    return store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    pq.write_table(rows(ROWS), tmp_path / "rows.parquet")
    return tmp_path


@pytest.fixture(autouse=True)
def _experimental() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(Saving|Retrieving) dataset", RuntimeWarning)
        yield


FRAME = pd.DataFrame({"user_id": ["v", "u", "u", "w"], "event_timestamp": [at(2), at(6), at(1), at(2)], "bonus": 10})
FEATURES = ["counts:n", "plus:n_plus"]


@pytest.mark.parametrize("full", [False, True])
def test_a_parquet_file_holds_what_arrow_and_pandas_do(home: Path, full: bool) -> None:
    store = feature_store(home, OURS)
    job = store.get_historical_features(FRAME, FEATURES, full_feature_names=full)
    answer = job.to_arrow()
    job.to_parquet(home / "answer.parquet")
    written = pq.read_table(home / "answer.parquet")
    assert written.column_names == answer.column_names
    assert written.cast(answer.schema).to_pylist() == answer.to_pylist()
    prefixes = ("counts__", "plus__") if full else ("", "")
    assert answer.column_names[-2:] == [f"{prefixes[0]}n", f"{prefixes[1]}n_plus"]  # not n_twice: nobody asked
    assert written[f"{prefixes[1]}n_plus"].to_pylist() == [13, None, 11, None]
    assert written.schema.field(f"{prefixes[1]}n_plus").type == pa.int64()  # though the rows have nulls
    pd.testing.assert_frame_equal(job.to_df(), answer.to_pandas())


def test_on_demand_features_are_those_of_feasts_own_store(home: Path) -> None:
    ours, stock = (
        feature_store(home, kind).get_historical_features(FRAME, FEATURES).to_arrow().sort_by("event_timestamp")
        for kind in (OURS, "duckdb")
    )
    assert ours.select(stock.column_names).to_pylist() == stock.to_pylist()


def test_a_join_within_little_memory_answers_the_same(home: Path) -> None:
    n = 400_000
    moments = pc.add(pa.scalar(START, TIMESTAMP), pa.array(range(0, n * 1000, 1000), pa.duration("us")))
    history = pa.table(
        {
            "user_id": pa.array([f"user number {row % 50_000}" for row in range(n)]),
            "event_timestamp": moments,
            "created_timestamp": moments,
            "n": pa.array(range(n), pa.int64()),
        }
    )
    pq.write_table(history, home / "rows.parquet")
    asked = history.select(["user_id", "event_timestamp"]).slice(n // 2).take(pa.array(range(n // 2 - 1, -1, -1)))
    asked = asked.append_column("note", pa.array(["x" * 200] * len(asked)))
    pq.write_table(asked, home / "asked.parquet")
    spill = home / "spill"
    spill.mkdir()
    store = feature_store(home, OURS, memory_limit="60MB", spill_folder=spill)
    store.get_historical_features(home / "asked.parquet", ["counts:n"]).to_parquet(home / "answer.parquet")
    answer = pq.read_table(home / "answer.parquet")
    assert answer["n"].to_pylist() == list(range(n - 1, n // 2 - 1, -1))
    assert answer.select(asked.column_names) == asked
    assert list(spill.iterdir()) == []


def test_a_saved_dataset_holds_the_answer_and_is_not_overwritten_unasked(home: Path) -> None:
    store = feature_store(home, OURS)
    storage = SavedDatasetFileStorage(str(home / "saved.parquet"))
    job = store.get_historical_features(FRAME, FEATURES)
    store.create_saved_dataset(job, "first", storage)
    saved = store.get_saved_dataset("first")
    span = (saved.min_event_timestamp, saved.max_event_timestamp)
    assert [one.replace(tzinfo=UTC) for one in span if one] == [at(1), at(6)]
    found = saved.to_df().sort_values(["event_timestamp", "user_id"])
    assert found["user_id"].tolist() == ["u", "v", "w", "u"]
    assert found["n_plus"].fillna(-1).tolist() == [11, 13, -1, -1]
    before = (home / "saved.parquet").read_bytes()
    with pytest.raises(SavedDatasetLocationAlreadyExists, match=r"saved\.parquet"):
        store.create_saved_dataset(job, "second", storage)
    assert (home / "saved.parquet").read_bytes() == before
    store.create_saved_dataset(job, "second", storage, allow_overwrite=True)


def test_stock_leaves_on_demand_features_out_of_a_saved_dataset(home: Path) -> None:
    for kind, has in ((OURS, True), ("duckdb", False)):
        job = feature_store(home, kind).get_historical_features(FRAME, FEATURES)
        job.persist(SavedDatasetFileStorage(str(home / f"{kind}.parquet")))
        assert ("n_plus" in pq.read_schema(home / f"{kind}.parquet").names) == has


def test_rows_pushed_offline_are_found_by_every_reader(home: Path) -> None:
    store = feature_store(home, OURS)
    more = rows({"user_id": ["u", "v"], "event_timestamp": [8, 1], "created_timestamp": [8, 2], "n": [8, 33]})
    store.write_to_offline_store("counts", more.to_pandas())
    frame = FRAME.assign(event_timestamp=at(9))
    assert store.get_historical_features(frame, ["counts:n"]).to_arrow()["n"].to_pylist() == [33, 8, 8, None]
    provider, view = store._get_provider().offline_store, store.get_feature_view("counts")
    columns = (store.config, view.batch_source, ["user_id"], ["n"], "event_timestamp", "created_timestamp")
    latest = provider.pull_latest_from_table_or_query(*columns, at(0), at(7)).to_arrow()
    assert sorted(zip(latest["user_id"].to_pylist(), latest["n"].to_pylist(), strict=True)) == [("u", None), ("v", 33)]
    everything = provider.pull_all_from_table_or_query(*columns, at(1), at(8)).to_arrow()
    assert sorted(everything["n"].fill_null(0).to_pylist()) == [0, 3, 8, 33]  # both ends count
    assert list(home.glob("*.partial")) == []
    assert list(home.glob("*.tmp")) == []


def test_rows_of_other_columns_are_refused_and_the_old_ones_stay(home: Path) -> None:
    store = feature_store(home, OURS)
    before = (home / "rows.parquet").read_bytes()
    with pytest.raises(ValueError, match="incorrect columns"):
        store._get_provider().offline_write_batch(
            store.config, store.get_feature_view("counts"), rows({"user_id": ["u"], "n": [1]}), None
        )
    assert (home / "rows.parquet").read_bytes() == before


_IN_A_ZONE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1]).parent))
import test_asof_job as here

store = here.feature_store(Path(sys.argv[2]), here.OURS)
found = store.get_historical_features(here.FRAME[["user_id", "event_timestamp"]], ["counts:n"]).to_arrow()
view = store.get_feature_view("counts")
latest = store._get_provider().offline_store.pull_latest_from_table_or_query(
    store.config, view.batch_source, ["user_id"], ["n"], "event_timestamp", "created_timestamp", here.at(0), here.at(4)
).to_arrow()
print(found["n"].to_pylist(), sorted(latest["n"].to_pylist()))
"""


def test_the_zone_of_the_machine_changes_nothing(home: Path) -> None:
    arguments = [sys.executable, "-c", _IN_A_ZONE, __file__, str(home)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TZ": "America/New_York", "PYTHONPATH": str(root)}
    run = subprocess.run(arguments, capture_output=True, text=True, env=environment, cwd=root, check=True)
    assert run.stdout.splitlines()[-1] == "[3, None, 1, None] [1, 3]"
