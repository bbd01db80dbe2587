"""How many pieces of work run at one time, and how many threads the linear algebra library may use."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Final, TypeVar

from threadpoolctl import LibController, ThreadpoolController

AT_ONCE: Final = 2  # pieces of work that learn at one time

Thing = TypeVar("Thing")
Result = TypeVar("Result")


def two_at_once(work: Callable[[Thing], Result], things: Iterable[Thing]) -> Iterator[Result]:
    """The result for each thing, in their order; meanwhile linear algebra keeps to one thread a piece of work.

    Set for all of them together: a piece that limits threads itself would else restore another's limit.
    """
    with one_blas_thread(), ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(work, things)


def one_blas_thread_for_good() -> None:
    """Let BLAS run on the calling thread alone from now on: where requests are the parallel work."""
    _controller().limit(limits=1, user_api="blas")


def one_blas_thread() -> AbstractContextManager[object]:
    """A context in which BLAS runs on the calling thread alone, in the whole process.

    Waking threads for thousands of small matrices is slower than the work itself: iALS on MovieLens-100K took 71 s
    with two threads on two busy cores, 2 s with one.
    """
    if all(library.num_threads == 1 for library in _blas()):  # takes 2 us, to set it 60
        return nullcontext()
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _blas() -> list[LibController]:
    return [library for library in _controller().lib_controllers if library.user_api == "blas"]


@cache
def _controller() -> ThreadpoolController:
    """Made once: it looks through all loaded libraries, which takes 15 ms and more."""
    return ThreadpoolController()
