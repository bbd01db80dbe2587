"""One posted event until the next read sees it: the engine's `accept`, then the user's and the item's online features.

    python benchmarks/push.py --home HOME [--events 200] [--runs 3]

HOME is a home on which `trichord run` has run; it is copied first, since events are posted to it. Prints one JSON
object: milliseconds at the 50th and 99th percentile of all events, as medians of the runs; each event is of a random
user and item of the log, in one process without HTTP. `stages` says where the time goes: the event log's append with
its fsync, features of the user and the item by SQL, their rows into the online store (`push`), and the read that must
see the event, which fails the run if it does not. `without_push` is an event's time but for `push` and the read.
"""

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from feature_repo import compute
from feature_repo.event_log import EventLog
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.serving.engine import Engine
from ranking.serving.recorded import Recorded

STAGES = {
    "append": (EventLog, "append"),
    "memory": (Recorded, "of"),
    "sql": (compute, "rows_at"),
    "push": (Store, "push"),
}
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


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def post(engine: Engine, spent: Spent, user: str, item: str, kind: str) -> None:
    """Post one event and read what it changed."""
    before = engine.loaded.store.online_frame(user, [item], at=engine.now())["item_interactions"][0].as_py() or 0
    spent.clear()
    started = time.perf_counter()
    receipt = engine.accept([{"user_id": user, "item_id": item, "kind": kind}])
    accepted = time.perf_counter()
    found = engine.loaded.store.online_frame(user, [item], at=engine.now())["item_interactions"][0].as_py()
    spent["read"] = (time.perf_counter() - accepted) * 1e3
    spent["visible"] = (time.perf_counter() - started) * 1e3
    spent["without_push"] = (accepted - started) * 1e3 - spent["push"]
    if receipt.fallbacks or found != before + 1:
        raise SystemExit(f"user {user}, item {item}: {before} interactions before, {found} after; {receipt}")


def run(engine: Engine, spent: Spent, n: int, seed: int) -> dict[str, list[float]]:
    draw = random.Random(seed)
    users = sorted(set(EventLog(engine.settings.events).read()["user_id"].to_pylist()))
    items, kinds = engine.loaded.catalogue.index.ids, engine.loaded.kinds.values()
    kind = next(one.name for one in kinds if one.weight > 0)
    times: dict[str, list[float]] = defaultdict(list)
    for number in range(n + 5):
        post(engine, spent, draw.choice(users), draw.choice(items), kind)
        if number >= 5:
            for name, took in spent.items():
                times[name].append(took)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    spent: Spent = defaultdict(float)
    for name, (owner, method) in STAGES.items():
        setattr(owner, method, timed(spent, name, getattr(owner, method)))
    with tempfile.TemporaryDirectory(prefix="trichord-push-") as folder:
        home = Path(shutil.copytree(arguments.home, Path(folder) / "home", symlinks=True))
        Store(Settings(home=home)).apply()  # the registry names the home
        engine = Engine(Settings(home=home))
        engine.load()
        known = len(EventLog(engine.settings.events))
        runs = [run(engine, spent, arguments.events, seed) for seed in range(arguments.runs)]
    stages = {
        name: {
            f"p{share}": round(statistics.median(percentile(times[name], share / 100) for times in runs), 2)
            for share in (50, 99)
        }
        for name in ("append", "memory", "sql", "push", "read", "without_push", "visible")
    }
    whole = stages.pop("visible")
    measured = {
        "name": "one event posted until the next read sees it",
        "ours": whole["p50"],
        "p99": whole["p99"],
        "peer": None,
        "peer_name": None,
        "unit": "ms",
        "ratio": None,
        "stages": stages,
        "events": arguments.events,
        "events_in_log": known,
        "runs": arguments.runs,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
