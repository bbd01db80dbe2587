"""One posted event until the next read sees it: the engine's `accept`, then the user's and the item's online features.

    python benchmarks/push.py --home HOME [--events 200] [--runs 3] [--depths 10,100,1000,10000]

HOME is a home on which `trichord run` has run; it is copied first, since events are posted to it. Prints one JSON
object: milliseconds at the 50th and 99th percentile of all events, as medians of the runs; each event is of a random
user and item of the log, in one process without HTTP. `stages` says where the time goes: the event log's append with
its fsync, features of the user and the item by SQL (`sql`), their rows into the online store (`push`), and the read
that must see the event, which fails the run if it does not. `without_push` is an event's time but for `push` and the
read, `cpu` the processor time of `accept` in all threads. `depths` has the same of a user and an item that both have so
many events already. `floor` is what any such path pays: an fsync of 1 kB, and a prepared `select 1` in DuckDB.
"""

import argparse
import gc
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import wraps
from itertools import count, repeat
from pathlib import Path

import duckdb
import pyarrow as pa

from feature_repo import compute, schema
from feature_repo.event_log import EventLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.serving.engine import Engine
from ranking.serving.recorded import Recorded

STAGES = {
    "append": (EventLog, "append"),
    "memory": (Recorded, "of"),
    "sql": (compute, "rows_at"),
    "push": (Store, "push_all"),
}
NAMES = ("append", "memory", "sql", "push", "read", "without_push", "cpu")
Spent = dict[str, float]


def timed(spent: Spent, name: str, work: Callable[..., object]) -> Callable[..., object]:
    @wraps(work)
    def measured(*args: object, **more: object) -> object:
        started = time.perf_counter()
        try:
            return work(*args, **more)
        finally:
            spent[name] += (time.perf_counter() - started) * 1e3

    return measured


def percentile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def percentiles(runs: Sequence[Sequence[float]]) -> dict[str, float]:
    return {
        f"p{share}": round(statistics.median(percentile(times, share / 100) for times in runs), 2) for share in (50, 99)
    }


def post(engine: Engine, spent: Spent, user: str, item: str, kind: str) -> None:
    """Post one event and read what it changed."""
    before = engine.loaded.store.online_frame(user, [item], at=engine.now())["item_interactions"][0].as_py() or 0
    spent.clear()
    started, worked = time.perf_counter(), time.process_time()
    receipt = engine.accept([{"user_id": user, "item_id": item, "kind": kind}])
    accepted = time.perf_counter()
    spent["cpu"] = (time.process_time() - worked) * 1e3
    found = engine.loaded.store.online_frame(user, [item], at=engine.now())["item_interactions"][0].as_py()
    spent["read"] = (time.perf_counter() - accepted) * 1e3
    spent["visible"] = (time.perf_counter() - started) * 1e3
    spent["without_push"] = (accepted - started) * 1e3 - spent["push"]
    if receipt.fallbacks or found != before + 1:
        raise SystemExit(f"user {user}, item {item}: {before} interactions before, {found} after; {receipt}")


def run(engine: Engine, spent: Spent, pairs: Iterator[tuple[str, str]], n: int) -> dict[str, list[float]]:
    kind = interaction(engine)
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(n + 5):
        post(engine, spent, *next(pairs), kind)
        if number >= 5:
            for name, took in spent.items():
                times[name].append(took)
    return times


def interaction(engine: Engine) -> str:
    return next(one.name for one in engine.loaded.kinds.values() if one.weight > 0)


def random_pairs(engine: Engine, seed: int) -> Iterator[tuple[str, str]]:
    draw = random.Random(seed)
    users = sorted(set(EventLog(engine.settings.events).read()["user_id"].to_pylist()))
    items = engine.loaded.catalogue.index.ids
    return ((draw.choice(users), draw.choice(items)) for _ in count())


def deepen(engine: Engine, depths: Sequence[int]) -> dict[int, tuple[str, str]]:
    """Give a new user and one of the items so many events in the last 300 days, for each depth."""
    log, kind, draw = EventLog(engine.settings.events), interaction(engine), random.Random(0)
    last = log.last_occurred_at()
    items = engine.loaded.catalogue.index.ids
    pairs = {depth: (f"user of {depth}", items[place]) for place, depth in enumerate(depths)}
    rows = []
    for depth, (user, item) in pairs.items():
        held = sum(one == item for one in log.read()["item_id"].to_pylist())
        met = [(user, draw.choice(items[len(depths) :])) for _ in range(depth)]
        met += [(f"other {draw.randrange(1000)}", item) for _ in range(depth - held)]
        for number, (who, what) in enumerate(met):
            moment = last - timedelta(seconds=draw.randrange(300 * 86400))
            rows.append(
                {
                    "event_id": f"{depth}-{number}",
                    "user_id": who,
                    "item_id": what,
                    "kind": kind,
                    "occurred_at": moment,
                    "device": draw.choice(("phone", "tv", "desktop")),
                    "place": draw.choice(("home", "work", "transit")),
                }
            )
    log.append(pa.Table.from_pylist(rows, schema.EVENTS))
    load(engine)
    for pair in pairs.values():
        engine.accept([{"user_id": pair[0], "item_id": pair[1], "kind": kind}])  # what is online counts the rest, too
    return pairs


def load(engine: Engine) -> None:
    """As a server does, with what is loaded left out of further collections of garbage."""
    engine.load()
    gc.collect()
    gc.freeze()


def floor(folder: Path, n: int = 200) -> dict[str, dict[str, float]]:
    """What the disk and DuckDB take for next to nothing."""
    found: dict[str, list[float]] = {"fsync": [], "select_1": []}
    with duckdb.connect() as duck, (folder / "floor").open("wb", buffering=0) as file:
        duck.execute("prepare one as select 1")
        (statement,) = duck.extract_statements("execute one")
        for _ in range(n):
            file.write(bytes(1024))
            started = time.perf_counter()
            os.fsync(file.fileno())
            written = time.perf_counter()
            duck.execute(statement).fetchall()
            found["select_1"].append((time.perf_counter() - written) * 1e3)
            found["fsync"].append((written - started) * 1e3)
    return {name: percentiles([times]) for name, times in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--depths", type=lambda text: [int(one) for one in text.split(",")], default=[10, 100, 1000, 10000]
    )
    arguments = parser.parse_args()
    spent: Spent = defaultdict(float)
    for name, (owner, method) in STAGES.items():
        setattr(owner, method, timed(spent, name, getattr(owner, method)))
    with tempfile.TemporaryDirectory(prefix="trichord-push-") as folder:
        home = Path(shutil.copytree(arguments.home, Path(folder) / "home", symlinks=True))
        Store(Settings(home=home)).apply()  # the registry names the home
        engine = Engine(Settings(home=home))
        load(engine)
        known = len(EventLog(engine.settings.events))
        n, runs = arguments.events, range(arguments.runs)
        whole = [run(engine, spent, random_pairs(engine, seed), n) for seed in runs]
        deep = {
            depth: [run(engine, spent, repeat(pair), n) for _ in runs]
            for depth, pair in deepen(engine, arguments.depths).items()
        }
        least = floor(Path(folder))
    total = percentiles([times["visible"] for times in whole])
    measured = {
        "name": "one event posted until the next read sees it",
        "ours": total["p50"],
        "p99": total["p99"],
        "peer": None,
        "peer_name": None,
        "unit": "ms",
        "ratio": None,
        "stages": {name: percentiles([times[name] for times in whole]) for name in NAMES},
        "depths": {
            depth: {
                name: percentiles([times[name] for times in found])
                for name in ("visible", "sql", "without_push", "cpu")
            }
            for depth, found in deep.items()
        },
        "floor": least,
        "events": n,
        "events_in_log": known,
        "runs": arguments.runs,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
