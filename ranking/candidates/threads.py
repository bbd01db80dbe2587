"""How many threads the linear algebra library may use."""

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager[object]:
    """A context in which BLAS runs on the calling thread alone, in the whole process.

    Waking threads for thousands of small matrices is slower than the work itself: iALS on MovieLens-100K took 71 s
    with two threads on two busy cores, 2 s with one.
    """
    limited: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limited


@cache
def _controller() -> ThreadpoolController:
    """Made once: it looks through all loaded libraries, which takes 15 ms and more."""
    return ThreadpoolController()
