"""Materialize rows of 20 features: the Arrow engine into the packed store against Feast's own engine into SQLite.

    python benchmarks/materialize.py [--rows 100000 1000000] [--history 1] [--runs 3] [--peer-rows 100000]

Every entity has `--history` rows in the file, of which the latest is to be online. Each run is a process of its own
on an empty store, so that its peak memory is its own; ours and peer alternate. The peer runs once at each size up to
`--peer-rows`, in batches of 10,000. Prints one JSON object: medians of seconds, and peak resident memory in MB, of
which `idle_mb` is what the process takes before it begins (Python and Feast).
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from feature_repo.schema import TIMESTAMP

FEATURES = [f"feature_{place}" for place in range(20)]
START = datetime(2024, 1, 1, tzinfo=UTC)


def write_rows(path: Path, n: int, history: int) -> None:
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(path, _table(rng, 1, 0).schema) as writer:
        for age in range(history):
            writer.write_table(_table(rng, n, age), row_group_size=100_000)


def _table(rng: np.random.Generator, n: int, age: int) -> pa.Table:
    moment = pa.scalar(START - timedelta(hours=age), TIMESTAMP)
    columns: dict[str, object] = {
        "user_id": np.char.add("user", rng.permutation(n).astype(str)),
        "event_timestamp": pa.repeat(moment, n),
        "created_timestamp": pa.repeat(moment, n),
    }
    return pa.table(columns | {name: rng.random(n, np.float32) for name in FEATURES})


def materialize(home: Path, rows: Path, mode: str) -> dict[str, float]:
    """One run, in this process."""
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float32, String

    stores = {
        "ours": {
            "online_store": {"type": "feature_repo.stores.packed.PackedOnlineStore", "path": str(home / "online")},
            "batch_engine": {"type": "feature_repo.stores.arrow_engine.ArrowComputeEngine"},
        },
        "peer": {
            "online_store": {"type": "sqlite", "path": str(home / "online.db")},
            "batch_engine": {"type": "local"},
        },
    }
    config = RepoConfig(
        project="bench_materialize",
        provider="local",
        registry=str(home / "registry.db"),
        offline_store={"type": "duckdb"},
        entity_key_serialization_version=3,
        repo_path=home,
        materialization={"pull_latest_features": True, "online_write_batch_size": 10_000},
        **stores[mode],
    )
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="users",
        entities=[user],
        schema=[Field(name="user_id", dtype=String), *(Field(name=name, dtype=Float32) for name in FEATURES)],
        source=FileSource(
            name="rows",
            path=str(rows),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        ),
        ttl=timedelta(0),
    )
    store = FeatureStore(config=config)
    store.apply([user, view])
    store._get_provider().batch_engine  # noqa: B018 - its imports are not what is timed
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    store.materialize(START - timedelta(days=99), START + timedelta(hours=1))
    seconds = time.perf_counter() - started
    found = store.get_online_features(["users:feature_0"], {"user_id": ["user0"]}).to_dict()
    assert found["feature_0"][0] is not None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_mb": peak / 1024, "idle_mb": idle / 1024}


def in_a_process(rows: Path, mode: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--one", mode, home, str(rows)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    one: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return one


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(run[name] for run in runs), 2) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--history", type=int, default=1)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--peer-rows", type=int, default=100_000)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        mode, home, rows = arguments.one
        print(json.dumps(materialize(Path(home), Path(rows), mode)))
        return
    sizes = []
    for n in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            rows = Path(folder) / "rows.parquet"
            write_rows(rows, n, arguments.history)
            ours = [in_a_process(rows, "ours")]
            size: dict[str, object] = {"rows": n}
            if n <= arguments.peer_rows:
                peer = in_a_process(rows, "peer")
            ours += [in_a_process(rows, "ours") for _ in range(arguments.runs - 1)]
            size["ours"] = medians(ours)
            size["ours_rows_per_s"] = round(n / medians(ours)["seconds"])
            if n <= arguments.peer_rows:
                size["peer"] = medians([peer])
                size["ratio"] = round(peer["seconds"] / medians(ours)["seconds"], 1)
            sizes.append(size)
    print(
        json.dumps(
            {
                "name": f"materialize 20 features, {arguments.history} rows an entity in the file",
                "peer_name": "Feast's local engine, DuckDB and SQLite stores",
                "unit": "s",
                "sizes": sizes,
                "runs": arguments.runs,
                "peer_runs": 1,
            }
        )
    )


if __name__ == "__main__":
    main()
