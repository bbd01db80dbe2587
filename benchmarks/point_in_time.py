"""Point-in-time join of 3 views x 10 features: our offline store, Feast's DuckDB store, hand-written ASOF SQL.

    python benchmarks/point_in_time.py [--point ROWSxDEPTH ...] [--all] [--rule event|written] [--runs 3]
                                       [--stock-runs 1] [--memory-gb GB] [--seconds 600]

A point is so many entity rows and so many rows of history a key, over about a million rows of history a view (at most
100,000 keys). `--all` measures 100,000 and 1,000,000 entity rows at depths of 10, 100 and 1,000; without it three of
these, in about five minutes. Each run is a process of its own and ends with an Arrow table in the order of the entity
rows; what it reads is in the page cache. Two rules are measured, or the one of --rule: `event`, by which a row counts
from its event timestamp on (Feast's default), and `written`, by which it is not seen before it was written (ours).
Every answer has the same checksum, or the script fails.

The stock store joins every entity row with all earlier rows of its key, for which a machine may be too small. So a
process is stopped when it holds more than --memory-gb (default: 80 % of what is available) or takes longer than
--seconds, and `stopped` stands in its place.

Prints one JSON object: a list of points with medians of seconds, of seconds of processor time (which say more while
other work is going on), and of the process's peak memory in MB, of which Python and Feast take about 350. Ratios are
of a peer to ours.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

VIEWS = {"user": "user_id", "item": "item_id", "shop": "shop_id"}  # each with its key
FEATURES = 10
TTL = timedelta(days=30)
SPAN_US = 90 * 86_400_000_000
START = datetime(2024, 1, 1, tzinfo=UTC)
STAMP = pa.timestamp("us", "UTC")
RULES = ("event", "written")
UNITS = {"seconds": 3, "cpu_seconds": 3, "mb": 0}  # with the digits shown
POINTS = ["100000x10", "100000x100", "1000000x10"]
ALL_POINTS = [f"{rows}x{depth}" for rows in (100_000, 1_000_000) for depth in (10, 100, 1_000)]
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
    started, worked = time.perf_counter(), time.process_time()
    found = answer(asked)
    taken, worked = time.perf_counter() - started, time.process_time() - worked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    names = [name for name in found.column_names if name[-1].isdigit()]
    checksum = sum(float(pc.sum(pc.multiply(pc.cast(found[name], "double"), found["place"])).as_py()) for name in names)
    return {"seconds": taken, "cpu_seconds": worked, "mb": peak, "checksum": checksum}


@dataclass(frozen=True)
class Limits:
    """Of one process: resident memory in GB, seconds."""

    memory_gb: float
    seconds: float


def in_a_process(folder: Path, work: str, rule: str, limits: Limits) -> dict[str, float] | str:
    """What a process of its own measured; or why it was stopped."""
    command = [sys.executable, __file__, "--measure", work, rule, str(folder)]
    started = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            if watched.memory_info().rss > limits.memory_gb * 1e9:
                process.kill()
                return f"held more than {limits.memory_gb:.1f} GB"
            if time.monotonic() - started > limits.seconds:
                process.kill()
                return f"took more than {limits.seconds:.0f} s"
            time.sleep(0.05)
        printed = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"{work}, rule {rule}: failed, see above")
    measured: dict[str, float] = json.loads(printed.splitlines()[-1])
    return measured


def point(rows: int, depth: int, rules: Sequence[str], runs: dict[str, int], limits: Limits) -> list[dict[str, object]]:
    """A line for each rule; works alternate."""
    lines = []
    with TemporaryDirectory() as name:
        make_world(Path(name), rows, depth)
        for rule in rules:
            measured: dict[str, list[dict[str, float]]] = {work: [] for work in runs}
            stopped: dict[str, str] = {}
            for run in range(max(runs.values())):
                for work in [work for work, n in runs.items() if run < n and work not in stopped]:
                    one = in_a_process(Path(name), work, rule, limits)
                    if isinstance(one, str):
                        stopped[work] = one
                    else:
                        measured[work].append(one)
            sums = [one["checksum"] for of_work in measured.values() for one in of_work]
            if sums and max(sums) - min(sums) > 1e-9 * max(sums):
                raise SystemExit(f"{rows} rows, depth {depth}, rule {rule}: answers differ: {measured}")
            lines.append({"entity_rows": rows, "depth": depth, "rule": rule} | summary(measured, stopped))
            print(json.dumps(lines[-1]), file=sys.stderr)
    return lines


def summary(measured: dict[str, list[dict[str, float]]], stopped: dict[str, str]) -> dict[str, object]:
    middle = {
        work: {unit: statistics.median(one[unit] for one in of_work) for unit in UNITS}
        for work, of_work in measured.items()
        if work not in stopped
    }
    line: dict[str, object] = {
        work: {unit: round(value, UNITS[unit]) for unit, value in of_work.items()} for work, of_work in middle.items()
    }
    line |= {work: {"stopped": why} for work, why in stopped.items()}
    if "ours" in middle:
        line["ratio"] = {
            work: {unit: round(value / middle["ours"][unit], 2) for unit, value in of_work.items()}
            for work, of_work in middle.items()
            if work != "ours"
        }
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--point", action="append", metavar="ROWSxDEPTH", help=f"default: {', '.join(POINTS)}")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--rule", choices=RULES)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--stock-runs", type=int, default=1)
    parser.add_argument("--memory-gb", type=float, default=psutil.virtual_memory().available * 0.8 / 1e9)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--measure", nargs=3, metavar=("WORK", "RULE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        work, rule, folder = arguments.measure
        print(json.dumps(measure(Path(folder), work, rule)))
        return
    asked = arguments.point or (ALL_POINTS if arguments.all else POINTS)
    rules = [arguments.rule] if arguments.rule else RULES
    limits = Limits(arguments.memory_gb, arguments.seconds)
    runs = {"ours": arguments.runs, "sql": arguments.runs, "stock": arguments.stock_runs}
    lines = [line for one in asked for line in point(*map(int, one.split("x")), rules, runs, limits)]
    document = {
        "name": f"point-in-time join, {len(VIEWS)} views x {FEATURES} features",
        "peer_name": "stock: Feast's DuckDB offline store; sql: hand-written ASOF SQL",
        "cores": os.cpu_count(),
        "runs": runs,
        "memory_limit_gb": round(limits.memory_gb, 1),
        "points": lines,
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
