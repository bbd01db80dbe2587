"""Event log ingest: batches appended to `EventLog`, each on disk before the next one, against a bare durable write.

    python benchmarks/event_log.py [--events 200000] [--batch 1000] [--runs 5] [--folder DIR]

Each run fills a new log, its moves into day partitions included. The peer appends the same batches as Arrow streams to
one file with one fsync each: no checksum, no duplicates found, no partitions, so it is what the disk and Arrow allow.
Give --folder on the disk that matters. Prints one JSON object; events_s are medians, append_ms is over all runs.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.event_log import EventLog

Append = Callable[[pa.Table], object]


def make_batches(events: int, batch: int) -> list[pa.Table]:
    """Events of a live log: about a day of them, nearly in order."""
    rng = np.random.default_rng(0)
    start = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1e6)
    moments = start + np.sort(rng.integers(0, 86_400_000_000, events)) + rng.integers(0, 60_000_000, events)
    hexes = rng.bytes(16 * events).hex()
    columns = {
        schema.EVENT_ID: pa.array([hexes[at : at + 32] for at in range(0, 32 * events, 32)]),
        schema.USER_ID: pa.array([f"u{one:06}" for one in rng.integers(0, 50_000, events)]),
        schema.ITEM_ID: pa.array([f"i{one:06}" for one in rng.integers(0, 20_000, events)]),
        schema.KIND: pa.array(rng.choice(["impression", "click", "play"], events)),
        schema.VALUE: pa.array(rng.random(events), pa.float32()),
        schema.OCCURRED_AT: pa.array(moments).cast(pa.timestamp("us")).cast(schema.TIMESTAMP),
        schema.SESSION_ID: pa.array([f"s{one:07}" for one in rng.integers(0, 200_000, events)]),
        schema.DEVICE: pa.array(rng.choice(["phone", "tv", "web"], events)),
        schema.PLACE: pa.array(rng.choice(["home", "away"], events)),
        schema.REQUEST_ID: pa.nulls(events, pa.string()),
        schema.POSITION: pa.array(rng.integers(0, 20, events), pa.int32()),
        schema.PROPENSITY: pa.array(rng.random(events), pa.float32()),
    }
    table = pa.table(columns, schema.EVENTS)
    return [table.slice(at, batch) for at in range(0, events, batch)]


@contextmanager
def log(folder: Path) -> Iterator[Append]:
    yield EventLog(folder).append


@contextmanager
def bare(folder: Path) -> Iterator[Append]:
    with (folder / "bare").open("wb", buffering=0) as file:

        def append(events: pa.Table) -> None:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, events.schema) as writer:
                writer.write_table(events)
            file.write(sink.getvalue())
            os.fsync(file.fileno())

        yield append


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    batches = make_batches(arguments.events, arguments.batch)
    rates: dict[str, list[float]] = {"ours": [], "peer": []}
    appends: dict[str, list[float]] = {"ours": [], "peer": []}
    for _ in range(arguments.runs):
        for name, work in (("ours", log), ("peer", bare)):
            with TemporaryDirectory(dir=arguments.folder) as folder, work(Path(folder)) as append:
                times = []
                for batch in batches:
                    started = time.perf_counter()
                    append(batch)
                    times.append(time.perf_counter() - started)
            rates[name].append(arguments.events / sum(times))
            appends[name] += times
    ours, peer = (statistics.median(rates[name]) for name in ("ours", "peer"))
    measured = {
        "name": f"event log ingest, {arguments.events} events in durable batches of {arguments.batch}",
        "ours": round(ours),
        "peer": round(peer),
        "peer_name": "Arrow stream and fsync",
        "unit": "events/s",
        "ratio": round(ours / peer, 2),
        "append_ms": {
            name: {f"p{one}": round(float(np.percentile(times, one)) * 1e3, 2) for one in (50, 99, 100)}
            for name, times in appends.items()
        },
        "runs": arguments.runs,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
