"""Answers are computed one after the other, whatever happens in one, and none waits while another waits for a store."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from feature_repo.errors import StoreUnavailableError
from feature_repo.serving_settings import Budget
from ranking.serving.limits import Limits
from ranking.serving.store_calls import StoreCalls
from ranking.serving.turn import Turn


def test_nobody_computes_beside_another():
    turn, inside, most = Turn(), [0], [0]

    def compute(_: int) -> None:
        with turn:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.002)
            inside[0] -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(compute, range(20)))
    assert (most, inside) == ([1], [0])


def test_a_fault_passes_the_turn_on():
    turn = Turn()
    with pytest.raises(ValueError, match="wrong"), turn:
        raise ValueError("wrong")
    with pytest.raises(ValueError, match="wrong"), turn, turn.aside():
        raise ValueError("wrong")
    assert passed(turn)


def passed(turn: Turn) -> bool:
    """Whether another thread gets it."""
    got = threading.Event()

    def take() -> None:
        with turn:
            got.set()

    threading.Thread(target=take, daemon=True).start()
    return got.wait(5)


def test_others_compute_while_a_server_is_waited_for():
    limits = Limits(StoreCalls("reads", Budget(store_ms=5_000), threads=2))
    answers = threading.Event()
    with ThreadPoolExecutor(1) as pool:

        def ask() -> int:
            with limits.turn:
                return limits.read(lambda: answers.wait(5) and 7, within_s=None)

        waiting = pool.submit(ask)
        assert passed(limits.turn)  # sooner or later: before it waits, the other has the turn
        answers.set()
        assert waiting.result(5) == 7
    assert passed(limits.turn)


def test_whoever_reads_a_file_keeps_the_turn():
    limits = Limits(StoreCalls("reads", Budget(), threads=0))
    with limits.turn:
        assert limits.read(lambda: limits.turn._lock.locked(), within_s=None)


def test_a_store_that_fails_gives_the_turn_back_to_whoever_asked():
    def fails() -> None:
        raise StoreUnavailableError("down")

    for threads in (0, 1):
        limits = Limits(StoreCalls("reads", Budget(), threads=threads))
        with limits.turn:
            with pytest.raises(StoreUnavailableError):
                limits.read(fails, within_s=None)
            assert limits.turn._lock.locked()
        assert passed(limits.turn)
