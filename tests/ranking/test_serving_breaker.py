"""The circuit breaker by a clock of the test's own, and calls that hang in threads of their own."""

import threading
import time

import pytest

from feature_repo.errors import StoreError, StoreUnavailableError
from feature_repo.serving_settings import Budget
from ranking.serving.breaker import FAILURES, Admission, Breaker
from ranking.serving.store_calls import StoreCalls


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return Breaker("it", most=2, retry_s=1.0, clock=clock)


def begun(breaker, limit_s=0.5):
    admission, call = breaker.admit(limit_s)
    assert admission is not Admission.NONE
    breaker.began(call)
    return call


def tripped(breaker):
    for _ in range(FAILURES):
        breaker.ended(begun(breaker), well=False)


def test_it_opens_after_failures_in_a_row_only(breaker):
    for _ in range(5):
        breaker.ended(begun(breaker), well=False)
        breaker.ended(begun(breaker), well=False)
        breaker.ended(begun(breaker), well=True)
    assert not breaker.open
    tripped(breaker)
    assert breaker.open
    assert breaker.admit(0.5)[0] is Admission.NONE


def test_it_opens_once_a_call_is_overdue_and_a_late_end_has_it_tried_at_once(breaker, clock):
    call = begun(breaker)
    clock.now += 0.4
    begun(breaker)
    clock.now += 0.2
    assert breaker.admit(0.5)[0] is Admission.NONE
    breaker.ended(call, well=True)
    assert breaker.open
    admission, probe = breaker.admit(0.5)
    assert admission is Admission.PROBE
    breaker.began(probe)
    breaker.ended(probe, well=True)
    assert not breaker.open
    clock.now += 5
    assert breaker.admit(0.5)[0] is Admission.CALL  # the other hung call is of the time before


def test_one_probe_at_a_time_and_none_before_its_time(breaker, clock):
    tripped(breaker)
    clock.now += 0.9
    assert breaker.admit(0.5)[0] is Admission.NONE
    clock.now += 0.1
    admission, probe = breaker.admit(0.5)
    assert admission is Admission.PROBE
    assert breaker.admit(0.5)[0] is Admission.NONE
    breaker.began(probe)
    breaker.ended(probe, well=False)
    assert breaker.admit(0.5)[0] is Admission.NONE
    clock.now += 1
    assert breaker.admit(0.5)[0] is Admission.PROBE


def test_probes_that_hang_do_not_pile_up(breaker, clock):
    tripped(breaker)
    hung = []
    for _ in range(20):
        clock.now += 2
        admission, probe = breaker.admit(0.5)
        if admission is Admission.PROBE:
            breaker.began(probe)
            hung.append(probe)
    assert len(hung) == 2
    breaker.ended(hung[0], well=False)
    assert breaker.admit(0.5)[0] is Admission.PROBE


def test_a_failure_that_comes_late_says_nothing_new(breaker, clock):
    calls = [begun(breaker) for _ in range(FAILURES)]
    clock.now += 1
    assert breaker.admit(0.5)[0] is Admission.NONE
    probe = None
    clock.now += 1
    breaker.ended(calls.pop(), well=False)
    breaker.ended(calls.pop(), well=False)
    _, probe = breaker.admit(0.5)
    breaker.began(probe)
    breaker.ended(probe, well=True)
    breaker.ended(calls.pop(), well=False)
    assert not breaker.open


def test_without_threads_a_call_is_made_by_whoever_asks():
    calls = StoreCalls("reads", Budget(store_ms=1), threads=0)
    assert calls.run(threading.get_ident) == threading.get_ident()
    calls.run(lambda: time.sleep(0.01))
    assert calls.counts() == {"answered": 2, "failed": 0, "late": 0, "spared": 0}


def raising(error):
    def call():
        raise error

    return call


def test_errors_are_passed_on_and_only_those_of_the_store_open_it():
    calls = StoreCalls("reads", Budget(), threads=2)
    for error in (StoreError("unknown"), KeyError("x"), TimeoutError("its own")) * FAILURES:
        with pytest.raises(type(error)):
            calls.run(raising(error))
    assert not calls.open
    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailableError, match="gone"):
            calls.run(raising(StoreUnavailableError("gone")))
    assert calls.open
    with pytest.raises(StoreUnavailableError, match="did not answer lately"):
        calls.run(lambda: 1)
    assert calls.counts()["spared"] == 1


def test_calls_that_hang_cost_few_threads_and_little_time_and_end_with_the_hang():
    calls, wakes = StoreCalls("reads", Budget(store_ms=100, store_retry_s=0.2), threads=4), threading.Event()
    waits, before = [], threading.active_count()

    def ask():
        for _ in range(20):
            started = time.perf_counter()
            with pytest.raises(StoreUnavailableError):
                calls.run(lambda: wakes.wait(30))
            waits.append(time.perf_counter() - started)
            time.sleep(0.02)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls.open
    assert threading.active_count() <= before + 4
    assert sorted(waits)[len(waits) * 3 // 4] < 0.05  # most are not made at all
    assert max(waits) < 2
    wakes.set()
    deadline = time.monotonic() + 10
    while calls.open:
        with pytest.raises(StoreUnavailableError):
            calls.run(lambda: 1)
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert calls.run(lambda: 1) == 1


def test_whoever_asks_may_wait_for_less_without_harm_to_the_others():
    calls = StoreCalls("reads", Budget(store_ms=5000), threads=4)
    for _ in range(2 * FAILURES):
        with pytest.raises(StoreUnavailableError, match="within 1 ms"):
            calls.run(lambda: time.sleep(0.05), within_s=0.001)
    with pytest.raises(StoreUnavailableError, match="time is used up"):
        calls.run(lambda: 1, within_s=-0.1)
    assert calls.run(lambda: 1) == 1
    assert not calls.open


def test_a_call_of_many_entities_has_more_time():
    calls = StoreCalls("writes", Budget(store_ms=50), threads=1)
    assert calls.run(lambda: time.sleep(0.1) or 1, entities=1000) == 1
    with pytest.raises(StoreUnavailableError):
        calls.run(lambda: time.sleep(0.3), entities=2)
