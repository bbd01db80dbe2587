"""Online read of one user and many items into a matrix: ours against Feast's own stores and a bare gather.

    python benchmarks/online_read.py [--items 500] [--stored 10000] [--runs 200] [--peer-runs 15] [--repeats 3]
                                     [--stock-stored 100000]

A user has 20 scalars, an item 20 scalars and a vector of 64. Ours is `Store.online_frame` on the packed store, whose
items come from the snapshot, and every column of its answer put into the matrix; beside it the same with a tenth of the
items written after the snapshot, without a snapshot, and on Feast's stores. Peers, on the same rows in one process:
Feast's SQLite store, and its Redis store where a `redis-server` is installed, each by one call and `to_dict`; and rows
of a memory-mapped NumPy matrix at places found by a dict, which is about the least that a read can cost. Stock stores
hold all rows as protobufs while they are filled, so they take part up to --stock-stored. Prints one JSON object; times
are in milliseconds, medians of the repeats.
"""

import argparse
import contextlib
import gc
import importlib.util
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Float32, String

from feature_repo.schema import TIMESTAMP
from feature_repo.settings import Settings
from feature_repo.sources import rows_path
from feature_repo.store import Store
from feature_repo.stores.packed import PackedOnlineStore

SCALARS = 20
DIMENSIONS = 64
NOW = datetime(2024, 1, 1, tzinfo=UTC)
PACKED = {"type": "feature_repo.stores.packed.PackedOnlineStore", "snapshots_of": ["item_id"]}
Read = Callable[[str, list[str]], object]
Request = tuple[str, list[str]]


def view(entity: str, *, vector: bool) -> FeatureView:
    fields = [Field(name=f"{entity}_{place}", dtype=Float32) for place in range(SCALARS)]
    if vector:
        fields.append(Field(name=f"{entity}_vector", dtype=Array(Float32), vector_index=True, vector_length=DIMENSIONS))
    return FeatureView(
        name=f"{entity}s",
        entities=[Entity(name=entity, join_keys=[f"{entity}_id"], value_type=ValueType.STRING)],
        schema=[Field(name=f"{entity}_id", dtype=String), *fields],
        source=FileSource(name=f"{entity}_rows", path=f"{entity}.parquet", timestamp_field="event_timestamp"),
        ttl=timedelta(0),
    )


VIEWS = {"user": view("user", vector=False), "item": view("item", vector=True)}
ENTITIES = [Entity(name=one, join_keys=[f"{one}_id"], value_type=ValueType.STRING) for one in VIEWS]


def feature_store(home: Path, name: str, online_store: dict[str, object]) -> FeatureStore:
    config = RepoConfig(
        project=f"read_{name}",
        provider="local",
        registry={"path": str(home / f"{name}.db"), "cache_ttl_seconds": 0},
        online_store=online_store,
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    store.apply([*ENTITIES, *VIEWS.values(), FeatureService(name="read", features=[*VIEWS.values()])])
    return store


def rows(entity: str, n: int, values: npt.NDArray[np.float32]) -> pa.Table:
    columns: dict[str, object] = {f"{entity}_id": [f"{entity}{place}" for place in range(n)]}
    columns |= {f"{entity}_{place}": values[:, place] for place in range(SCALARS)}
    if values.shape[1] > SCALARS:
        columns[f"{entity}_vector"] = values[:, SCALARS:].tolist()
    columns["event_timestamp"] = pa.array([NOW] * n, TIMESTAMP)
    return pa.table(columns)


def fill(store: FeatureStore, tables: dict[str, pa.Table]) -> None:
    provider = store._get_provider()
    for entity, table in tables.items():
        if isinstance(provider.online_store, PackedOnlineStore):
            provider.online_store.write_arrow(store.config, VIEWS[entity], table)
        else:
            provider.ingest_df(VIEWS[entity], table.to_pandas())


def frame_matrix(
    home: Path, feast: FeatureStore, table: pa.Table | None
) -> Callable[[str, list[str]], npt.NDArray[np.float32]]:
    """`Store.online_frame` and one matrix; with a snapshot of the items in a table, if given."""
    store = Store(Settings(home=home))
    store.__dict__["feast"] = feast  # of this script's views instead of the platform's
    if table is not None:
        path = rows_path(store.settings, "items")
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        store.renew_snapshots(["items"])

    def read(user: str, items: list[str]) -> npt.NDArray[np.float32]:
        frame = store.online_frame(user, items, at=NOW, service="read")
        matrix = np.empty((len(items), 2 * SCALARS + DIMENSIONS), np.float32)
        for place, column in enumerate(frame.columns[2:-1]):
            matrix[:, place] = column.chunk(0).to_numpy()
        matrix[:, 2 * SCALARS :] = frame.column(-1).chunk(0).values.to_numpy().reshape(len(items), DIMENSIONS)
        return matrix

    return read


def feast_dict(store: FeatureStore) -> Callable[[str, list[str]], dict[str, list[object]]]:
    refs = [f"{one.name}:{field.name}" for one in VIEWS.values() for field in one.features]
    return lambda user, items: store.get_online_features(
        refs, {"user_id": [user] * len(items), "item_id": items}
    ).to_dict()


def gather(
    home: Path, values: dict[str, npt.NDArray[np.float32]]
) -> Callable[[str, list[str]], npt.NDArray[np.float32]]:
    mapped = {}
    places = {}
    for entity, of_entity in values.items():
        np.save(home / f"{entity}.npy", of_entity)
        mapped[entity] = np.load(home / f"{entity}.npy", mmap_mode="r")
        places[entity] = {f"{entity}{place}": place for place in range(len(of_entity))}

    def read(user: str, items: list[str]) -> npt.NDArray[np.float32]:
        matrix = np.empty((len(items), 2 * SCALARS + DIMENSIONS), np.float32)
        matrix[:, :SCALARS] = mapped["user"][places["user"][user]]
        matrix[:, SCALARS:] = mapped["item"][[places["item"][item] for item in items]]
        return matrix

    return read


@contextlib.contextmanager
def redis(home: Path) -> Iterator[str | None]:
    """Address of a server of this context's own; None where there is none to start."""
    binary = shutil.which("redis-server")
    if binary is None or importlib.util.find_spec("redis") is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(home)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def measured(read: Read, requests: list[Request]) -> dict[str, float]:
    for user, items in requests[:3]:
        read(user, items)
    times = []
    for user, items in requests:
        started = time.perf_counter()
        read(user, items)
        times.append((time.perf_counter() - started) * 1e3)
    return {f"p{q}": float(np.percentile(times, q)) for q in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--stock-stored", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--peer-runs", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    values = {
        "user": rng.random((1000, SCALARS), np.float32),
        "item": rng.random((arguments.stored, SCALARS + DIMENSIONS), np.float32),
    }
    tables = {entity: rows(entity, len(of_entity), of_entity) for entity, of_entity in values.items()}
    requests = [
        (
            f"user{rng.integers(1000)}",
            [f"item{place}" for place in rng.choice(arguments.stored, arguments.items, replace=False)],
        )
        for _ in range(arguments.runs)
    ]
    few = requests[: arguments.peer_runs]
    with tempfile.TemporaryDirectory() as folder, redis(Path(folder)) as address:
        home = Path(folder)
        bare = gather(home, values)
        reads: dict[str, tuple[Read, list[Request]]] = {"memory-mapped gather": (bare, requests)}
        for name, path, table in (("ours", "a", tables["item"]), ("a tenth written since", "b", tables["item"])):
            feast = feature_store(home, path, {**PACKED, "path": str(home / path)})
            fill(feast, tables)
            reads[name] = (frame_matrix(home, feast, table), requests)
        written = tables["item"].slice(0, arguments.stored // 10)
        feast._get_provider().online_store.write_arrow(feast.config, VIEWS["item"], written)
        plain = feature_store(home, "plain", {**PACKED, "path": str(home / "plain")})
        fill(plain, tables)
        reads["without a snapshot"] = (frame_matrix(home, plain, None), requests)
        stock: dict[str, dict[str, object]] = {"SQLite": {"type": "sqlite", "path": str(home / "online.db")}}
        if address:
            stock["Redis"] = {"type": "redis", "connection_string": address, "skip_dedup": True}
        for name, online_store in stock.items() if arguments.stored <= arguments.stock_stored else ():
            peer = feature_store(home, name.lower(), online_store)
            fill(peer, tables)
            reads[f"Feast {name}"] = (feast_dict(peer), few)
            reads[f"{name}, columns"] = (frame_matrix(home / f"{name}-columns", peer, None), few)
            reads[f"{name}, items from a snapshot"] = (frame_matrix(home / name, peer, tables["item"]), requests)
        for name, (read, _) in reads.items():
            assert name.startswith("Feast") or np.array_equal(read(*few[0]), bare(*few[0])), name
        gc.collect()
        gc.freeze()  # what was imported is not looked through again, as in the server
        runs = [{name: measured(*one) for name, one in reads.items()} for _ in range(arguments.repeats)]
    times = {
        name: {q: round(float(np.median([run[name][q] for run in runs])), 3) for q in ("p50", "p99")} for name in reads
    }
    mine = times.pop("ours")
    print(
        json.dumps(
            {
                "name": f"online read, 1 user + {arguments.items} items of {arguments.stored}, to a matrix",
                "unit": "ms",
                "ours": mine,
                "peers": times,
                "ratio_p50": {name: round(one["p50"] / mine["p50"], 2) for name, one in times.items()},
                "runs": arguments.runs,
                "peer_runs": arguments.peer_runs,
                "repeats": arguments.repeats,
            }
        )
    )


if __name__ == "__main__":
    main()
