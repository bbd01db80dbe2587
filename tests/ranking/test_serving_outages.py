"""A Redis that is killed, or stopped so that it hangs, while requests and events go on."""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest

from feature_repo.compute import TICK
from feature_repo.serving_settings import Budget
from feature_repo.settings import OnlineStore, Settings
from feature_repo.store import Store
from ranking.serving.engine import Engine
from ranking.serving.made import FEATURES
from ranking.serving.payloads import Request

ASKERS = 3
PATIENCE_S = 90
STORE_MS = 400


class Redis:
    """`redis-server` of the test's own on loopback, in memory only."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        where = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.command = ["redis-server", *where, "--save", ""]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until(self._listens, "a server that listens")

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def _listens(self):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0


def until(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_S} s"
        time.sleep(0.02)


@pytest.fixture
def redis():
    if not shutil.which("redis-server"):
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    folder = Path(tempfile.mkdtemp(prefix="trichord-"))
    server = Redis(folder)
    server.start()
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            server.kill()
        shutil.rmtree(folder)


class Load:
    """Threads that ask, and one that tells of events, until the block ends; what each of them met."""

    def __init__(self, engine):
        self.engine, self.done = engine, threading.Event()
        self.answers, self.receipts, self.failures = [], [], []

    def __enter__(self):
        self.threads = [threading.Thread(target=self._until_done, args=(self._ask,)) for _ in range(ASKERS)]
        self.threads.append(threading.Thread(target=self._until_done, args=(self._tell,)))
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        for thread in self.threads:
            thread.join()

    def _until_done(self, step):
        number = 0
        while not self.done.is_set():
            number += 1
            try:
                step(number)
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was dropped
                self.failures.append(error)
            time.sleep(0.01)

    def _ask(self, number):
        started = time.perf_counter()
        answer = self.engine.recommend(Request(user_id=f"u{number % 30:02}", k=5))
        self.answers.append((answer, time.perf_counter() - started))

    def _tell(self, number):
        started = time.perf_counter()
        event = {"event_id": f"n{number}", "user_id": "teller", "item_id": f"i{number % 36:02}", "kind": "click"}
        self.receipts.append((self.engine.accept([event]), time.perf_counter() - started))
        time.sleep(0.05)

    def next(self, fallbacks, many=20):
        """Wait for further answers that all have these fallbacks."""
        met = []

        def enough():
            met[:] = [answer for answer, _ in self.answers[-many:]]
            return len(self.answers) >= seen + many and all(one.fallbacks == fallbacks for one in met)

        seen = len(self.answers)
        until(enough, f"answers with fallbacks {fallbacks}")


def fill(settings, world):
    store = Store(settings)
    store.materialize(max(world.events["occurred_at"].to_pylist()) + TICK)


@pytest.fixture
def engine(redis, home, world):
    budget = Budget(store_ms=STORE_MS, store_retry_s=0.2)
    settings = Settings(home=home.home, online_store=OnlineStore.REDIS, online_url=redis.url, budget=budget)
    Store(settings).apply()
    fill(settings, world)
    engine = Engine(settings)
    engine.load()
    return engine


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_an_outage_costs_features_and_no_request(engine, redis, world, how):
    threads = threading.active_count()
    assert engine.recommend(Request(user_id="u00", k=5)).fallbacks == []
    with Load(engine) as load:
        load.next([])
        for _ in range(2):
            if how == "killed":
                redis.kill()
            else:
                redis.signal(signal.SIGSTOP)
            load.next([FEATURES])
            began = len(load.answers)
            load.next([FEATURES], 200)
            known = [seconds for _, seconds in load.answers[began:]]
            assert sum(seconds >= STORE_MS / 1e3 for seconds in known) <= len(known) // 20
            assert engine.reads.open
            most = threads + ASKERS + 1 + engine.settings.budget.store_threads + 1 + 3
            assert threading.active_count() <= most
            if how == "killed":
                redis.start()
                fill(engine.settings, world)
            else:
                redis.signal(signal.SIGCONT)
            load.next([])
        until(lambda: not engine._refresher.owes, "settled features")
    assert not load.failures, load.failures[:3]
    assert all(len(answer.items) == 5 for answer, _ in load.answers)
    assert all(receipt.accepted == 1 for receipt, _ in load.receipts)
    assert {tuple(receipt.fallbacks) for receipt, _ in load.receipts} == {(), (FEATURES,)}
    assert max(seconds for _, seconds in load.receipts) < 10  # not the client's 30 s
    assert max(seconds for _, seconds in load.answers) < 10
    # what was told meanwhile is online now
    assert engine.lookup({"user_id": "teller"})["user_interactions"] == len(load.receipts)


def test_an_engine_starts_while_its_store_hangs_and_finds_it_later(redis, engine):
    redis.signal(signal.SIGSTOP)
    started = time.perf_counter()
    fresh = Engine(engine.settings)
    fresh.load()
    assert time.perf_counter() - started < 60
    assert fresh.recommend(Request(user_id="u00", k=5)).fallbacks == [FEATURES]
    redis.signal(signal.SIGCONT)
    until(lambda: fresh.recommend(Request(user_id="u00", k=5)).fallbacks == [], "whole answer")
