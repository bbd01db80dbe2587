"""Point-in-time join of 3 views x 10 features: our ASOF offline store, Feast's DuckDB store, hand-written ASOF SQL.

    python benchmarks/point_in_time.py [--point ROWSxDEPTH ...] [--runs 3] [--stock-pairs 20000000]

A point is so many entity rows and so many rows of history a key, over about a million rows of history a view (at most
100,000 keys). Each run is a process of its own and ends with an Arrow table in the order of the entity rows; what it
reads is in the page cache. Two rules are measured: `event`, by which a row counts from its event timestamp on (Feast's
default), and `written`, by which it is not seen before it was written (ours). Every answer has the same checksum, or
the script fails. The stock store joins every entity row with all earlier rows of its key, so it runs only where
rows x depth is at most --stock-pairs: beyond that it needs more memory than most machines have.

Prints one JSON object: a list of points with medians of seconds and of the process's peak memory in MB, of which Python
and Feast take about 250.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

VIEWS = {"user": "user_id", "item": "item_id", "shop": "shop_id"}  # each with its key
FEATURES = 10
TTL = timedelta(days=30)
SPAN_US = 90 * 86_400_000_000
START = datetime(2024, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")
RULES = ("event", "written")
OURS = "feature_repo.stores.asof.AsofDuckDBOfflineStore"


def make_world(folder: Path, rows: int, depth: int) -> None:
    rng = np.random.default_rng(0)
    start = int(START.timestamp() * 1e6)
    keys = min(100_000, 1_000_000 // depth)
    for view, key in VIEWS.items():
        n = keys * depth
        event = start + np.sort(rng.integers(0, SPAN_US, n))
        columns = {
            key: pa.array(rng.permutation(np.repeat(np.arange(keys), depth))),
            "event_timestamp": pa.array(event).cast(pa.timestamp("us")).cast(STAMP),
            "created_timestamp": pa.array(event + rng.integers(0, 3_600_000_000, n))
            .cast(pa.timestamp("us"))
            .cast(STAMP),
        }
        for place in range(FEATURES):
            columns[f"{view}_{place}"] = pa.array(rng.integers(0, 1 << 40, n) if place % 3 else rng.random(n))
        pq.write_table(pa.table(columns), folder / f"{view}.parquet")
    moments = pa.array(start + rng.integers(0, SPAN_US, rows)).cast(pa.timestamp("us")).cast(STAMP)
    asked = {key: pa.array(rng.integers(0, keys * 11 // 10, rows)) for key in VIEWS.values()}  # some unknown
    pq.write_table(
        pa.table(asked | {"event_timestamp": moments, "place": pa.array(range(rows))}), folder / "asked.parquet"
    )


def by_feast(folder: Path, kind: str, rule: str) -> Callable[[pa.Table], pa.Table]:
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, Int64

    offline = {"type": kind} | ({"hide_unwritten": rule == "written"} if kind == OURS else {})
    config = RepoConfig(
        project="benchmark",
        provider="local",
        registry=str(folder / f"{kind}.db"),
        offline_store=offline,
        online_store={"type": "sqlite", "path": str(folder / "online.db")},
        entity_key_serialization_version=3,
    )
    store = FeatureStore(config=config)
    entities = {view: Entity(name=view, join_keys=[key], value_type=ValueType.INT64) for view, key in VIEWS.items()}
    views = [
        FeatureView(
            name=view,
            entities=[entities[view]],
            schema=[Field(name=key, dtype=Int64)]
            + [Field(name=f"{view}_{place}", dtype=Int64 if place % 3 else Float64) for place in range(FEATURES)],
            source=FileSource(
                path=str(folder / f"{view}.parquet"),
                timestamp_field="event_timestamp",
                created_timestamp_column="created_timestamp",
            ),
            ttl=TTL,
        )
        for view, key in VIEWS.items()
    ]
    store.apply([*entities.values(), *views])
    refs = [f"{view}:{view}_{place}" for view in VIEWS for place in range(FEATURES)]

    def answer(asked: pa.Table) -> pa.Table:
        frame = asked if kind == OURS else asked.to_pandas()
        job = store.get_historical_features(frame, refs, filter_by_created_timestamp=rule == "written")
        found = job.to_arrow()
        return found if kind == OURS else found.sort_by("place")  # stock promises no order

    return answer


def by_hand(folder: Path, rule: str) -> Callable[[pa.Table], pa.Table]:
    import duckdb

    ttl_us = TTL // timedelta(microseconds=1)
    features = [
        f"case when epoch_us(e.event_timestamp) - epoch_us({view}.event_timestamp) <= {ttl_us} "
        f"then {view}.{view}_{place} end as {view}_{place}"
        for view in VIEWS
        for place in range(FEATURES)
    ]

    def join(view: str, key: str) -> str:
        rows, moment = f"'{folder}/{view}.parquet'", "event_timestamp"
        if rule == "written":
            moment = "seen"
            rows = f"""(
                select * from (select *, greatest(event_timestamp, created_timestamp) as seen from {rows})
                window w as (partition by {key} order by seen, event_timestamp, created_timestamp)
                qualify event_timestamp >= max(event_timestamp) over w and seen is distinct from lead(seen) over w)"""
        return f"asof left join {rows} as {view} on e.{key} = {view}.{key} and e.event_timestamp >= {view}.{moment}"

    joins = " ".join(join(view, key) for view, key in VIEWS.items())

    def answer(asked: pa.Table) -> pa.Table:
        with duckdb.connect() as duck:
            duck.execute("set timezone = 'UTC'")
            duck.register("asked", asked)
            return duck.sql(
                f"select e.*, {', '.join(features)} from asked as e {joins} order by e.place"
            ).to_arrow_table()

    return answer


def measure(folder: Path, work: str, rule: str) -> dict[str, float]:
    """One run, in this process."""
    import feast  # noqa: F401  # the same start for all
    import pyarrow.compute as pc

    answers = {
        "ours": lambda: by_feast(folder, OURS, rule),
        "stock": lambda: by_feast(folder, "duckdb", rule),
        "sql": lambda: by_hand(folder, rule),
    }
    answer = answers[work]()
    asked = pq.read_table(folder / "asked.parquet")
    answer(asked.slice(0, 1000))  # what is imported late
    started = time.perf_counter()
    found = answer(asked)
    taken = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = [name for name in found.column_names if name[-1].isdigit()]
    checksum = sum(float(pc.sum(pc.multiply(pc.cast(found[name], "double"), found["place"])).as_py()) for name in names)
    return {"seconds": taken, "mb": peak, "checksum": checksum, "rows": len(found)}


def in_a_process(folder: Path, work: str, rule: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", work, rule, str(folder)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return measured


def point(rows: int, depth: int, runs: int, stock_pairs: int) -> list[dict[str, object]]:
    works = ["ours", "sql"] + (["stock"] if rows * depth <= stock_pairs else [])
    lines: list[dict[str, object]] = []
    with TemporaryDirectory() as name:
        make_world(Path(name), rows, depth)
        for rule in RULES:
            measured = {work: [] for work in works}
            for _ in range(runs):
                for work in works:
                    measured[work].append(in_a_process(Path(name), work, rule))
            sums = [one["checksum"] for of_work in measured.values() for one in of_work]
            if max(sums) - min(sums) > 1e-9 * max(sums):
                raise SystemExit(f"{rows} rows, depth {depth}, rule {rule}: answers differ: {measured}")
            middle = {
                work: {unit: statistics.median(one[unit] for one in of_work) for unit in ("seconds", "mb")}
                for work, of_work in measured.items()
            }
            line: dict[str, object] = {"entity_rows": rows, "depth": depth, "rule": rule}
            for unit in ("seconds", "mb"):
                line |= {
                    f"{work}_{unit}": round(one[unit], 3 if unit == "seconds" else 0) for work, one in middle.items()
                }
                line |= {
                    f"{work}_to_ours_{unit}": round(one[unit] / middle["ours"][unit], 2)
                    for work, one in middle.items()
                    if work != "ours"
                }
            lines.append(line)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", metavar="ROWSxDEPTH", help="default: 100000x10 and 1000000x10")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stock-pairs", type=int, default=20_000_000)
    parser.add_argument("--measure", nargs=3, metavar=("WORK", "RULE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        work, rule, folder = arguments.measure
        print(json.dumps(measure(Path(folder), work, rule)))
        return
    points = [tuple(map(int, one.split("x"))) for one in arguments.point or ["100000x10", "1000000x10"]]
    lines = [line for rows, depth in points for line in point(rows, depth, arguments.runs, arguments.stock_pairs)]
    document = {
        "name": f"point-in-time join, {len(VIEWS)} views x {FEATURES} features",
        "peer_name": "Feast's DuckDB offline store; hand-written ASOF SQL",
        "cores": os.cpu_count(),
        "runs": arguments.runs,
        "points": lines,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
