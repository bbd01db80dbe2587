"""Point-in-time join of `ranking_v1`: our ASOF offline store against Feast's own DuckDB store, in one process.

    python benchmarks/point_in_time.py --home HOME [--rows 20000] [--runs 3]

HOME is a home on which `trichord run` has run: its feature views are joined to random pairs of its users and items at
random moments of its log. Prints one JSON object; ours and peer are medians of the runs, which alternate.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from feature_repo import schema
from feature_repo.settings import Settings
from feature_repo.store import Store
from feature_repo.transforms import REQUESTED_AT
from pipelines.workspace import Workspace


def entity_rows(workspace: Workspace, n: int) -> pa.Table:
    rng = np.random.default_rng(0)
    events = workspace.events.take(rng.integers(len(workspace.events), size=n))
    items = workspace.items[schema.ITEM_ID].take(rng.integers(len(workspace.items), size=n))
    at = events[schema.OCCURRED_AT]
    return pa.table(
        {
            schema.USER_ID: events[schema.USER_ID],
            schema.ITEM_ID: items,
            schema.EVENT_TIMESTAMP: at,
            REQUESTED_AT: at,
            schema.DEVICE: events[schema.DEVICE],
            schema.PLACE: events[schema.PLACE],
        }
    )


def stock(settings: Settings) -> Store:
    """A store over the same registry and rows, joined by Feast's own DuckDB store."""
    from feast import FeatureStore, RepoConfig

    store = Store(settings)
    config = store.feast.config.model_copy(update={"offline_store": {"type": "duckdb"}})
    fields = {name: getattr(config, name) for name in ("project", "provider", "registry", "online_store", "repo_path")}
    store.__dict__["feast"] = FeatureStore(
        config=RepoConfig(offline_store={"type": "duckdb"}, entity_key_serialization_version=3, **fields)
    )
    return store


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    settings = Settings(home=arguments.home)
    rows = entity_rows(Workspace(settings), arguments.rows)
    ours, peer = Store(settings), stock(settings)
    for store in (ours, peer):
        store.training_frame(rows.slice(0, 100))
    times = [
        (seconds(lambda: ours.training_frame(rows)), seconds(lambda: peer.training_frame(rows)))
        for _ in range(arguments.runs)
    ]
    mine, theirs = (statistics.median(one) for one in zip(*times, strict=True))
    measured = {
        "name": f"point-in-time join, {arguments.rows} rows x ranking_v1",
        "ours": round(mine, 3),
        "peer": round(theirs, 3),
        "peer_name": "Feast's DuckDB offline store",
        "unit": "s",
        "ratio": round(theirs / mine, 1),
        "runs": arguments.runs,
    }
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
