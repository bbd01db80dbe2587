"""Several processes on one port: what one is told, all know; one that is killed is missed by nobody."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil
import pytest

from feature_repo.event_log import EventLog

ROOT = Path(__file__).parents[2]
WORKERS = 2
PATIENCE_S = 240


@pytest.fixture
def address(home):
    """Address of a server of several processes, and the process that watches over them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "from pipelines.cli import main; main()"
    arguments = ["serve", "--home", str(home.home), "--port", str(port), "--workers", str(WORKERS)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answers(f"http://127.0.0.1:{port}") and len(listeners(process)) == WORKERS)
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.1)


def answers(address):
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{address}/health/ready").status_code == 200
    return False


def listeners(process):
    """Workers that have a connection pool of their own by now: they run the server's loop."""
    children = psutil.Process(process.pid).children()
    return [one for one in children if "spawn_main" in " ".join(one.cmdline()) and one.num_threads() > 2]


def told(address, event):
    """Post an event by a new connection, which any of the processes may take."""
    return httpx.post(f"{address}/v1/events", json=event, timeout=60).json()


def recommended(address, user):
    body = httpx.post(f"{address}/v1/recommendations", json={"user_id": user, "k": 5}, timeout=60).json()
    return [item["item_id"] for item in body["items"]]


def test_events_count_everywhere_and_a_killed_process_loses_none(address, home):
    where, process = address
    for number in range(12):
        first = recommended(where, "u00")[0]
        event = {"event_id": f"a-{number}", "user_id": "u00", "item_id": first, "kind": "click"}
        assert told(where, event)["accepted"] == 1
        for _ in range(4):  # by whichever process
            assert first not in recommended(where, "u00")

    acknowledged, stop, failed = set(), threading.Event(), []

    def tells(name):
        number = 0
        while not stop.is_set():
            number += 1
            event = {"event_id": f"{name}-{number}", "user_id": name, "item_id": "i01", "kind": "click"}
            try:
                if told(where, event).get("accepted") == 1:
                    acknowledged.add(event["event_id"])
            except httpx.TransportError:
                failed.append(event["event_id"])  # the killed process had it in hand

    threads = [threading.Thread(target=tells, args=(f"t{n}",)) for n in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        until(lambda: len(listeners(process)) == WORKERS)
        so_far = len(acknowledged)
        until(lambda many=so_far + 20: len(acknowledged) > many)
        victim = listeners(process)[0]
        victim.kill()
        until(lambda gone=victim.pid: gone not in {one.pid for one in psutil.Process(process.pid).children()})
        so_far = len(acknowledged)
        until(lambda many=so_far + 10: len(acknowledged) > many)  # the others go on
    until(lambda: len(listeners(process)) == WORKERS)
    stop.set()
    for thread in threads:
        thread.join()
    assert len(failed) <= 2 * len(threads)
    logged = EventLog(home.events).ids()
    assert acknowledged <= logged
    assert sum(one.startswith("t") for one in logged) <= len(acknowledged) + len(failed)
