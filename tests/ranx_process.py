"""The library ranx in a process of its own, as plain Python: compiled, it takes minutes to get ready.

That it shall not be compiled is said to numba, and so to everything of a process that numba compiles.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

import pytest

Judged: TypeAlias = dict[str, dict[str, float]]  # query -> item -> relevance, or score
Evaluate: TypeAlias = Callable[[Judged, Judged, list[str]], dict[str, list[float]]]


def evaluate(relevant: Judged, ranked: Judged, names: list[str]) -> dict[str, list[float]]:
    """What the library says: metric -> value of each query."""
    import ranx

    found = ranx.evaluate(ranx.Qrels(relevant), ranx.Run(ranked), names, return_mean=False)
    return {name: values.tolist() for name, values in found.items()}


@contextmanager
def ranx_process() -> Iterator[Evaluate]:
    """`evaluate`, in another process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NUMBA_DISABLE_JIT", "1")
            pool.submit(os.getpid).result()  # it is there, and has its environment
        yield lambda *judged: pool.submit(evaluate, *judged).result()
