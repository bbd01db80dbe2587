"""Vectors in eight bits against NumPy's product with all of them: recall, milliseconds a query, memory.

    python benchmarks/coarse.py [--items 20000,200000,1000000] [--dimensions 64] [--k 100] [--queries 40]

A query's 3 k first by eight bits are compared exactly, and the k best kept. Vectors are those of `index.py`. Times are
milliseconds of the processor on one thread, medians of the queries; the peer is asked in turn with ours. Prints one
JSON object a size.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from index import Floats, by_numpy, planted
from threadpoolctl import threadpool_limits

from ranking.candidates.coarse import Coarse
from ranking.candidates.generator import first_codes
from ranking.candidates.products import products_with_some

AT_ONCE = 100_000  # vectors that are made at one time


def by_coarse(coarse: Coarse, vectors: Floats, k: int) -> Callable[[Floats], npt.NDArray[np.integer]]:
    offered = np.ones(len(vectors), bool)

    def find(query: Floats) -> npt.NDArray[np.integer]:
        first = np.sort(first_codes(coarse.products(query), offered, 3 * k)).astype(np.int32)
        [scores] = products_with_some(vectors, first, query[None])
        return first[np.argsort(-scores)[:k]]

    return find


def timed(find: Callable[[Floats], npt.NDArray[np.integer]], query: Floats) -> tuple[float, set[int]]:
    started = time.thread_time()
    found = find(query)
    return (time.thread_time() - started) * 1e3, set(found.tolist())


def measured(n_items: int, dimensions: int, k: int, queries: int) -> dict[str, object]:
    parts = [planted(min(AT_ONCE, n_items - start), dimensions, start) for start in range(0, n_items, AT_ONCE)]
    vectors = np.concatenate(parts)
    coarse = Coarse.of(vectors)
    ours, peer = by_coarse(coarse, vectors, k), by_numpy(vectors, k)
    asked = planted(queries + 1, dimensions, 1)
    runs = [(timed(ours, one), timed(peer, one)) for one in asked][1:]  # the first compiles
    mine, others = (statistics.median(run[side][0] for run in runs) for side in (0, 1))
    return {
        "name": f"{k} nearest of {n_items:,} x {dimensions}",
        "ours": round(mine, 2),
        "peer": round(others, 2),
        "peer_name": "NumPy, float32",
        "unit": "ms",
        "ratio": round(others / mine, 2),
        "recall": round(statistics.fmean(len(mine & exact) / k for (_, mine), (_, exact) in runs), 4),
        "memory_mb": round(coarse.blocks.nbytes / 1e6),
        "peer_memory_mb": round(vectors.nbytes / 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", default="20000,200000,1000000")
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--queries", type=int, default=40)
    asked = parser.parse_args()
    with threadpool_limits(1, user_api="blas"):
        for n_items in map(int, asked.items.split(",")):
            print(json.dumps(measured(n_items, asked.dimensions, asked.k, asked.queries)), flush=True)


if __name__ == "__main__":
    main()
