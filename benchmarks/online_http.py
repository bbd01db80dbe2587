"""One user and many items through HTTP `/get-online-features`: this platform's server against `feast serve`.

    python benchmarks/online_http.py [--items 500] [--stored 10000] [--runs 100] [--peer-runs 20] [--rounds 3]

A user has 20 scalars, an item 20 scalars and a vector of 64, all float32. Both servers are processes of their own and
hold the same rows, ours in its packed store (the whole API, without a release, which this route does not need), Feast's
in its SQLite store. They take turns, each over a connection that stays open. `body`: until the client has the whole
answer. `decoded`: until it also has it as values, by `json.loads` or as a `pyarrow` table. Percentiles are medians over
the rounds. Prints one JSON object; times are in milliseconds, ratios those of p50.
"""

import argparse
import contextlib
import http.client
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from online_read import DIMENSIONS, ENTITIES, SCALARS, VIEWS, feature_store, fill, rows

from feature_repo.arrow_stream import MEDIA_TYPE
from feature_repo.settings import Settings
from feature_repo.store import Store

USERS = 1000
REFS = [f"{view.name}:{field.name}" for view in VIEWS.values() for field in view.features]
JSON = "application/json"
SERVE = """
import sys
from pathlib import Path

import uvicorn
from threadpoolctl import threadpool_limits

from feature_repo.settings import Settings
from ranking.serving.app import create_app
from ranking.serving.engine import Engine

threadpool_limits(1, user_api="blas")
app = create_app(Engine(Settings(home=Path(sys.argv[1]))))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), access_log=False)
"""  # what `ranking.serving.app.serve` does where there is a release


@dataclass(frozen=True)
class Server:
    """How a server is asked, and what makes values of its answers."""

    connection: http.client.HTTPConnection
    accept: str
    decode: Callable[[bytes], object]

    def ask(self, request: bytes) -> bytes:
        """The body of the answer."""
        headers = {"Content-Type": JSON, "Accept": self.accept}
        self.connection.request("POST", "/get-online-features", request, headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200 or answer.headers["Content-Type"] != self.accept:
            raise RuntimeError(f"{answer.status}: {body[:500]!r}")
        return body


def table_of(body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all()


def columns_of(body: bytes) -> dict[str, object]:
    answer = json.loads(body)
    values = (result["values"] for result in answer["results"])
    return dict(zip(answer["metadata"]["feature_names"], values, strict=True))


def our_home(home: Path, tables: dict[str, pa.Table]) -> None:
    store = Store(Settings(home=home)).feast
    store.apply([*ENTITIES, *VIEWS.values()])
    fill(store, tables)


def feast_repo(home: Path, tables: dict[str, pa.Table]) -> None:
    online_store = {"type": "sqlite", "path": str(home / "online.db")}
    store = feature_store(home, "sqlite", online_store)
    fill(store, tables)
    parts = {
        "project": store.project,
        "provider": "local",
        "registry": str(home / "sqlite.db"),
        "online_store": online_store,
        "entity_key_serialization_version": 3,
    }
    (home / "feature_store.yaml").write_text(yaml.safe_dump(parts))


@contextlib.contextmanager
def connected(command: Callable[[str], list[str]]) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server that is started for it with a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(command(str(port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                connection.connect()
                break
            time.sleep(0.1)
        yield connection
    finally:
        connection.close()
        process.terminate()
        process.wait()


def timed(server: Server, requests: list[bytes]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {"body": [], "decoded": []}
    for request in requests:
        started = time.perf_counter()
        body = server.ask(request)
        times["body"].append((time.perf_counter() - started) * 1e3)
        server.decode(body)
        times["decoded"].append((time.perf_counter() - started) * 1e3)
    return times


def percentiles(rounds: list[dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    return {
        part: {
            f"p{share}": round(statistics.median(float(np.percentile(one[part], share)) for one in rounds), 2)
            for share in (50, 99)
        }
        for part in rounds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--peer-runs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    sizes = {"user": (USERS, SCALARS), "item": (arguments.stored, SCALARS + DIMENSIONS)}
    tables = {entity: rows(entity, shape[0], rng.random(shape, np.float32)) for entity, shape in sizes.items()}
    requests = []
    for _ in range(arguments.runs):
        items = [f"item{place}" for place in rng.choice(arguments.stored, arguments.items, replace=False)]
        entities = {"user_id": [f"user{rng.integers(USERS)}"] * len(items), "item_id": items}
        requests.append(json.dumps({"features": REFS, "entities": entities}).encode())
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours", Path(folder) / "theirs"
        theirs.mkdir()
        our_home(ours, tables)
        feast_repo(theirs, tables)
        feast = [str(Path(sys.executable).parent / "feast"), "-c", str(theirs), "serve", "--no-access-log", "--port"]
        with (
            connected(lambda port: [sys.executable, "-c", SERVE, str(ours), port]) as to_us,
            connected(lambda port: [*feast, port]) as to_them,
        ):
            servers = {
                "arrow": Server(to_us, MEDIA_TYPE, table_of),
                "json": Server(to_us, JSON, columns_of),
                "feast serve": Server(to_them, JSON, columns_of),
            }
            bodies = {name: server.ask(requests[0]) for name, server in servers.items()}
            values = columns_of(bodies["feast serve"])
            assert columns_of(bodies["json"]) == values
            assert table_of(bodies["arrow"]).select(list(values)).to_pydict() == values
            rounds: dict[str, list[dict[str, list[float]]]] = {name: [] for name in servers}
            for _ in range(arguments.rounds):
                for name, server in servers.items():
                    n = arguments.peer_runs if name == "feast serve" else arguments.runs
                    server.connection.close()  # it may have been idle for longer than the server keeps one open
                    timed(server, requests[:3])
                    rounds[name].append(timed(server, requests[:n]))
    found = {name: percentiles(of_server) for name, of_server in rounds.items()}
    peer = found.pop("feast serve")
    measured = {
        "name": f"HTTP /get-online-features, 1 user + {arguments.items} items of {arguments.stored}",
        "ours": found,
        "peer": peer,
        "peer_name": "feast serve, SQLite",
        "unit": "ms",
        "ratio": {
            name: {part: round(peer[part]["p50"] / times["p50"], 1) for part, times in one.items()}
            for name, one in found.items()
        },
        "bytes": {name: len(body) for name, body in bodies.items()},
        "runs": arguments.runs,
        "peer_runs": arguments.peer_runs,
        "rounds": arguments.rounds,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
