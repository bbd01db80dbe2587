"""Processes that tests start, talk to and kill."""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

FORK = multiprocessing.get_context("fork")  # starting anew costs seconds of imports a process


def start(work: Callable[..., None], *arguments: object) -> tuple[ForkProcess, Connection]:
    """A process at work, which has one end of a pipe as its last argument, and the other end."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=work, args=(*arguments, theirs))
    process.start()
    theirs.close()
    return process, ours


def kill(process: ForkProcess) -> None:
    """End a process at once."""
    process.kill()
    process.join()
