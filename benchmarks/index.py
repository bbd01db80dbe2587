"""The index of vectors against NumPy that compares with every vector: recall, milliseconds a query, build, memory.

    python benchmarks/index.py [--items 10000,50000,100000] [--dimensions 64,128] [--k 50] [--queries 300] [--runs 3]

Vectors are planted: 200 clusters of 24 dimensions, led into the space with noise, as content has; `noise` has none at
all, where no index helps. Times are seconds of the processor on one thread, medians of the runs; the peer is asked in
the same run, query by query as a server is. Memory is what the process grows by while the index is loaded and searched,
over the vectors themselves, which both need. `filtered` allows a random fifth and a random hundredth of the items.

Prints one JSON object.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt
import psutil
from threadpoolctl import threadpool_limits

from feature_repo.settings import Search
from ranking.errors import RecallError
from ranking.representation.index import VectorIndex

Floats = npt.NDArray[np.float32]
Find = Callable[[Floats], npt.NDArray[np.integer]]

FORMS = {"approximate": Search(exact_up_to=0), "approximate int8": Search(exact_up_to=0, int8=True)}


def planted(n: int, dim: int, seed: int) -> Floats:
    world, draw = np.random.default_rng(0), np.random.default_rng(seed)
    centres, mixing = world.normal(size=(200, 24)), world.normal(size=(24, dim)) / 24**0.5
    inner = centres[draw.integers(200, size=n)] + 0.7 * draw.normal(size=(n, 24))
    return unit(inner @ mixing + 0.3 * draw.normal(size=(n, dim)))


def unit(rows: npt.NDArray[np.float64]) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def by_numpy(vectors: Floats, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> Find:
    def find(query: Floats) -> npt.NDArray[np.integer]:
        scores = vectors @ query
        if allowed is not None:
            scores[~allowed] = -np.inf
        best = np.argpartition(-scores, k)[:k]
        return best[np.argsort(-scores[best])]

    return find


def by_index(index: VectorIndex, k: int, allowed: npt.NDArray[np.bool_] | None = None) -> Find:
    return lambda query: index.search(query[None], k, allowed=allowed)[0][0]


def ms_a_query(find: Find, queries: Floats) -> float:
    began = time.process_time()
    for query in queries:
        find(query)
    return (time.process_time() - began) * 1e3 / len(queries)


def compared(ours: Find, peer: Find, queries: Floats, runs: int) -> dict[str, float]:
    """Both sides take turns."""
    pairs = [(ms_a_query(ours, queries), ms_a_query(peer, queries)) for _ in range(runs)]
    found = ((set(ours(query).tolist()), set(peer(query).tolist())) for query in queries)
    return {
        "ours": round(statistics.median(one for one, _ in pairs), 3),
        "peer": round(statistics.median(other for _, other in pairs), 3),
        "ratio": round(statistics.median(other / one for one, other in pairs), 2),
        "recall": round(statistics.mean(len(one & other) / len(other) for one, other in found), 4),
    }


def measured(vectors: Floats, queries: Floats, config: Search, k: int, runs: int) -> dict[str, object]:
    began = time.process_time()
    built = VectorIndex.build(vectors, config)
    build = time.process_time() - began
    with TemporaryDirectory() as folder:
        built.save(Path(folder))
        on_disk = sum(file.stat().st_size for file in Path(folder).iterdir())
        del built
        process = psutil.Process(os.getpid())
        before = process.memory_full_info().uss
        index = VectorIndex.load(Path(folder), vectors)
        for query in queries:
            index.search(query[None], k)
        grown = process.memory_full_info().uss - before
        filters = {share: np.random.default_rng(2).random(len(vectors)) < share for share in (0.2, 0.01)}
        filtered = {
            str(share): compared(by_index(index, k, mask), by_numpy(vectors, k, mask), queries[:100], runs)
            for share, mask in filters.items()
        }
        answer = compared(by_index(index, k), by_numpy(vectors, k), queries, runs)
    return answer | {
        "build_s": round(build, 2),
        "lists": index.info.lists,
        "probes": index.info.probes,
        "disk_mb": round(on_disk / 1e6, 1),
        "memory_mb": round(grown / 1e6, 1),
        "filtered": filtered,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(one) for one in text.split(",")]  # noqa: E731
    parser.add_argument("--items", type=numbers, default=[10_000, 50_000, 100_000])
    parser.add_argument("--dimensions", type=numbers, default=[64, 128])
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    results: dict[str, object] = {}
    with threadpool_limits(1):
        for dim in args.dimensions:
            queries = planted(args.queries, dim, seed=2)
            for n in args.items:
                vectors = planted(n, dim, seed=1)
                for name, config in {"exact": Search(exact_up_to=n), **FORMS}.items():
                    results[f"{n} x {dim} {name}"] = measured(vectors, queries, config, args.k, args.runs)
        noise = unit(np.random.default_rng(1).normal(size=(args.items[-1], args.dimensions[-1])))
        try:
            VectorIndex.build(noise, FORMS["approximate"])
            refused = ""
        except RecallError as error:
            refused = str(error)
    answer = {
        "name": "nearest vectors of a query",
        "unit": "ms a query",
        "peer_name": "numpy: matrix product and argpartition",
        "k": args.k,
        "runs": args.runs,
        "results": results,
        "noise": refused,
    }
    print(json.dumps(answer, indent=2))


if __name__ == "__main__":
    main()
