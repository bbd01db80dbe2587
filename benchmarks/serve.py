"""Recommendations over HTTP under load, against stock Feast and plain LightGBM on the same rows.

    python benchmarks/serve.py --home FOLDER [--items 20000] [--users 10000] [--candidates 500] [--seconds 30]
                               [--rate 50] [--workers 1,2] [--no-peer]

Makes a home of that size in FOLDER unless one is there (`serving_world.py`; minutes), and starts `trichord serve` on it
in a process of its own. This process asks over connections that stay open; at a rate, latency counts from the moment at
which a request was due, so that a server that stalls cannot hide it. Measured: seconds from start to ready, latency at
the rate, without and with reasons, requests a second as fast as it goes, and the time from posting an event until an
answer without the item is there. The peer reads the same features of one user and as many items by Feast's SQLite store
and `to_df`, and orders them by the same boosters' `predict`: no candidates are searched, no HTTP is spoken. Times are
in milliseconds; prints one JSON object a measurement.
"""

import argparse
import http.client
import json
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from serving_world import WorldSize, build

from feature_repo.schema import RANKING
from feature_repo.settings import OnlineStore, Settings
from feature_repo.store import Store
from ranking.serving.catalogue import load_parts
from ranking.serving.releases import Releases

CONNECTIONS = 8
WARM_UP = 50  # requests before anything is measured
EVENTS = 100
PEER_RUNS = 15


@dataclass
class Client:
    """One connection that stays open."""

    port: int
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def post(self, path: str, body: object) -> dict[str, object]:
        """The JSON of a good answer; RuntimeError for any other."""
        self.connection.request("POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        read = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {read[:300]!r}")
        found: dict[str, object] = json.loads(read)
        return found


@dataclass(frozen=True)
class Server:
    """A running server and how long it took until it was ready."""

    port: int
    ready_s: float
    process: "subprocess.Popen[bytes]"

    def memory_mb(self) -> float:
        """Resident memory of the server and its workers, shared pages divided among those who share them (PSS)."""
        pids = [self.process.pid, *_children(self.process.pid)]
        kb = 0
        for pid in pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kb += int(line.split()[1])
        return kb / 1024


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    direct = [int(one) for one in path.read_text().split()]
    return direct + [deeper for one in direct for deeper in _children(one)]


@contextmanager
def serving(home: Path, workers: int) -> Iterator[Server]:
    """`trichord serve` on a free port until the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.perf_counter()
    command = [sys.executable, "-c", "from pipelines.cli import main; main()", "serve"]
    words = ["--home", str(home), "--port", str(port), *(["--workers", str(workers)] if workers > 1 else [])]
    process = subprocess.Popen([*command, *words], stderr=subprocess.DEVNULL)
    try:
        while not _ready(port):
            if process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode}")
            time.sleep(0.05)
        yield Server(port, time.perf_counter() - started, process)
    finally:
        process.terminate()
        process.wait(60)


def _ready(port: int) -> bool:
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False


def request(number: int, users: int) -> dict[str, object]:
    """The body of one of many requests, of users far from each other."""
    return {"user_id": f"u{number * 7919 % users:05}", "k": 10, "context": {"device": "mobile", "place": "home"}}


def at_rate(port: int, bodies: Callable[[int], object], *, rate: float, seconds: float) -> np.ndarray:
    """Milliseconds from due to answered, of requests that are due at a rate."""
    due: queue.Queue[tuple[int, float] | None] = queue.Queue()
    taken: list[float] = []
    faults: list[Exception] = []

    def work() -> None:
        client = Client(port)
        while (one := due.get()) is not None:
            try:
                client.post("/v1/recommendations", bodies(one[0]))
                taken.append((time.perf_counter() - one[1]) * 1e3)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                faults.append(error)
                client = Client(port)

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for one in threads:
        one.start()
    start = time.perf_counter()
    for number in range(int(rate * seconds)):
        moment = start + number / rate
        time.sleep(max(0.0, moment - time.perf_counter()))
        due.put((number, moment))
    for _ in threads:
        due.put(None)
    for one in threads:
        one.join()
    if faults:
        raise RuntimeError(f"{len(faults)} requests failed, the first with {faults[0]!r}")
    return np.array(taken)


def as_fast_as_it_goes(
    port: int,
    bodies: Callable[[int], object],
    *,
    at_once: int,
    seconds: float,
    between: Callable[[Client, int], None] = lambda _client, _number: None,
) -> float:
    """Requests a second that are answered, so many asked at one time. between: what else each asker does, by number."""
    counts = [0] * at_once
    until = time.perf_counter() + seconds

    def work(mine: int) -> None:
        client, number = Client(port), mine
        while time.perf_counter() < until:
            client.post("/v1/recommendations", bodies(number))
            counts[mine] += 1
            between(client, number)
            number += at_once

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(at_once)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return sum(counts) / seconds


def until_changed(port: int, users: int) -> np.ndarray:
    """Milliseconds from posting a choice of the first item until an answer without it is there."""
    client, taken = Client(port), []
    for number in range(EVENTS):
        user = f"u{number * 37 % users:05}"
        first = client.post("/v1/recommendations", {"user_id": user, "k": 10})["items"][0]["item_id"]  # type: ignore[index]
        started = time.perf_counter()
        client.post("/v1/events", {"user_id": user, "item_id": first, "kind": "click"})
        while first in [one["item_id"] for one in client.post("/v1/recommendations", {"user_id": user})["items"]]:  # type: ignore[attr-defined]
            pass
        taken.append((time.perf_counter() - started) * 1e3)
    return np.array(taken)


def peer(settings: Settings, candidates: int) -> float:
    """Milliseconds of Feast's own look-up in SQLite, and LightGBM's `predict`, of one user and the items."""
    other = settings.model_copy(update={"online_store": OnlineStore.SQLITE})
    store = Store(other)
    until = Releases.of(settings).current().manifest.data_until
    if not any((settings.home / "online").glob("*.sqlite*")) and not list(settings.home.glob("online*.db")):
        store.apply()
        store.materialize(until)
    hybrid, catalogue = load_parts(Releases.of(settings).current())
    trees, ids = hybrid.ranker.trees, catalogue.index.ids[:candidates]
    service, taken = store.feast.get_feature_service(RANKING), []
    request = {"as_of": 0, "requested_at": 0, "device": "mobile", "place": "home"}
    rows = [{"user_id": "u00001", "item_id": one, **request} for one in ids]
    for _ in range(PEER_RUNS):
        started = time.perf_counter()
        frame = store.feast.get_online_features(service, rows).to_df()
        numbers = frame.select_dtypes("number").to_numpy(np.float32)
        matrix = np.zeros((len(ids), len(trees.names)), np.float32)
        matrix[:, : numbers.shape[1]] = numbers[:, : matrix.shape[1]]
        for booster in trees.boosters:
            booster.predict(matrix)
        taken.append((time.perf_counter() - started) * 1e3)
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    WorldSize.add_arguments(parser)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True)
    asked = parser.parse_args()
    size = WorldSize.of(asked)
    settings = build(asked.home, size)

    def plain(number: int) -> dict[str, object]:
        return request(number, size.users)

    def explained(number: int) -> dict[str, object]:
        return plain(number) | {"explain": True}

    stock = peer(settings, size.candidates) if asked.peer else None
    for workers in map(int, asked.workers.split(",")):
        with serving(asked.home, workers) as server:
            say(f"start to ready, {workers} workers", server.ready_s * 1e3)
            for number in range(WARM_UP * workers):
                Client(server.port).post("/v1/recommendations", plain(number))
            for name, bodies in (("recommendations", plain), ("recommendations with reasons", explained)):
                found = at_rate(server.port, bodies, rate=asked.rate, seconds=asked.seconds)
                say_spread(f"{name}, {asked.rate:g} a second, {workers} workers", found, stock)
            fastest = as_fast_as_it_goes(server.port, plain, at_once=2 * workers, seconds=asked.seconds)
            say(f"recommendations as fast as it goes, {workers} workers", fastest, unit="1/s")
            changed = until_changed(server.port, size.users)
            say_spread(f"event posted to changed answer, {workers} workers", changed, None)
            say(f"memory, {workers} workers", server.memory_mb(), unit="MB")


def say(name: str, ours: float, *, unit: str = "ms") -> None:
    print(json.dumps({"name": name, "ours": round(ours, 2), "unit": unit}), flush=True)


def say_spread(name: str, found: np.ndarray, stock: float | None) -> None:
    p50, p99 = np.percentile(found, [50, 99])
    against = {} if stock is None else {"peer": round(stock, 1), "peer_name": "Feast SQLite + LightGBM predict"}
    ratio = {} if stock is None else {"ratio": round(stock / p50, 1)}
    spread = {"ours": round(float(p50), 2), "p99": round(float(p99), 2)}
    print(json.dumps({"name": name, **spread, **against, "unit": "ms", **ratio, "runs": len(found)}), flush=True)


if __name__ == "__main__":
    main()
