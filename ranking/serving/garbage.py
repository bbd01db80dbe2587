"""What a former release held, given back at once."""

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what nobody holds any more and return its memory to the system.

    What is left is not looked through again: else a full collection, 150 ms over the many imported modules, falls into
    somebody's request. glibc keeps what is freed for each thread that allocated it, a tenth of a server's memory after
    a few releases: malloc_trim gives it back in some 5 ms; other C libraries are left to their own ways.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
