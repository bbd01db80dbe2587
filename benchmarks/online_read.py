"""Online read of one user and many items into a matrix: the packed store against Feast's own stores and a bare gather.

    python benchmarks/online_read.py [--items 500] [--stored 10000] [--runs 200] [--peer-runs 15]
                                     [--stock-stored 100000]

A user has 20 scalars, an item 20 scalars and a vector of 64. Peers, on the same rows in one process: Feast's SQLite
store, and its Redis store where a `redis-server` is installed, each by one call and `to_dict`; and rows of a
memory-mapped NumPy matrix at places found by a dict, which is about the least that a read can cost. Stock stores hold
all rows as protobufs while they are filled, so they take part up to --stock-stored. Prints one JSON object; times are
in milliseconds.
"""

import argparse
import contextlib
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
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Float32, String

from feature_repo.online import read_stored
from feature_repo.plan import StoredView, arrow_fields
from feature_repo.schema import TIMESTAMP
from feature_repo.stores.packed import PackedOnlineStore

SCALARS = 20
DIMENSIONS = 64
NOW = datetime(2024, 1, 1, tzinfo=UTC)
PACKED = {"type": "feature_repo.stores.packed.PackedOnlineStore"}


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


def feature_store(home: Path, name: str, online_store: dict[str, str]) -> FeatureStore:
    config = RepoConfig(
        project=f"read_{name}",
        provider="local",
        registry={"path": str(home / f"{name}.db"), "cache_ttl_seconds": 0},
        online_store=online_store,
        entity_key_serialization_version=3,
        repo_path=home,
    )
    store = FeatureStore(config=config)
    entities = [Entity(name=one, join_keys=[f"{one}_id"], value_type=ValueType.STRING) for one in VIEWS]
    store.apply([*entities, *VIEWS.values()])
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


def packed_matrix(store: FeatureStore) -> Callable[[str, list[str]], npt.NDArray[np.float32]]:
    """What `Store.online_rows` does for the stored features of a service, then one matrix."""
    stored = {
        entity: {one.name: StoredView(one, timedelta(0), arrow_fields(one.features))} for entity, one in VIEWS.items()
    }

    def read(user: str, items: list[str]) -> npt.NDArray[np.float32]:
        of_user, _ = read_stored(store, "user_id", pa.array([user]), stored["user"], NOW)
        of_items, _ = read_stored(store, "item_id", pa.array(items), stored["item"], NOW)
        matrix = np.empty((len(items), 2 * SCALARS + DIMENSIONS), np.float32)
        for place in range(SCALARS):
            matrix[:, place] = of_user[f"user_{place}"][0].as_py()
            matrix[:, SCALARS + place] = of_items[f"item_{place}"].to_numpy()
        matrix[:, 2 * SCALARS :] = of_items["item_vector"].flatten().to_numpy().reshape(len(items), DIMENSIONS)
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


def measured(read: Callable[[str, list[str]], object], requests: list[tuple[str, list[str]]]) -> dict[str, float]:
    for user, items in requests[:3]:
        read(user, items)
    times = []
    for user, items in requests:
        started = time.perf_counter()
        read(user, items)
        times.append((time.perf_counter() - started) * 1e3)
    return {f"p{q}": round(float(np.percentile(times, q)), 3) for q in (50, 99)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--stored", type=int, default=10_000)
    parser.add_argument("--stock-stored", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--peer-runs", type=int, default=15)
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
        ours = feature_store(home, "packed", {**PACKED, "path": str(home / "online")})
        fill(ours, tables)
        ours_read, bare = packed_matrix(ours), gather(home, values)
        assert np.array_equal(ours_read(*requests[0]), bare(*requests[0]))
        times = {"ours": measured(ours_read, requests), "memory-mapped gather": measured(bare, requests)}
        stock = {"Feast SQLite": {"type": "sqlite", "path": str(home / "online.db")}}
        if address:
            stock["Feast Redis"] = {"type": "redis", "connection_string": address}
        for name, online_store in stock.items() if arguments.stored <= arguments.stock_stored else ():
            peer = feature_store(home, name.split()[1].lower(), online_store)
            fill(peer, tables)
            times[name] = measured(feast_dict(peer), few)
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
            }
        )
    )


if __name__ == "__main__":
    main()
