"""Processes that tests start, talk to and kill."""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from tqdm import tqdm

FORK = multiprocessing.get_context("fork")  # starting anew costs seconds of imports a process


def start(work: Callable[..., None], *arguments: object) -> tuple[ForkProcess, Connection]:
    """A process at work, which has one end of a pipe as its last argument, and the other end."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=_apart, args=(work, *arguments, theirs))
    process.start()
    theirs.close()
    return process, ours


def _apart(work: Callable[..., None], *arguments: object) -> None:
    """Work with a lock of its own where tqdm, which Feast writes with, has one for all that were forked.

    It would stay taken for good once a process is killed that holds it.
    """
    tqdm.set_lock(threading.RLock())
    work(*arguments)


def kill(process: ForkProcess) -> None:
    """End a process at once."""
    process.kill()
    process.join()
