"""What accepted events leave when the server is killed at any moment.

TRICHORD_FAULT_KILLS (default 5) is how often it is killed.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow as pa

from feature_repo import compute, schema
from feature_repo.event_log import EventLog
from feature_repo.labels import label_events
from feature_repo.settings import Settings
from feature_repo.store import Store
from ranking.serving.engine import Engine

KILLS = int(os.environ.get("TRICHORD_FAULT_KILLS", "5"))
USERS = [f"u{number:02}" for number in range(4)]

# A process that has everything imported and forks a server for each line that it reads: starting anew costs seconds.
_SERVERS = """
import json, os, sys
from pathlib import Path
import feast, lightgbm
from feature_repo.settings import Settings
from feature_repo.stores import arrow_engine
from ranking.serving.engine import Engine

def batch(number):
    return [
        {"event_id": f"{number}.{n}", "user_id": f"u{(number + n) % 4:02}", "item_id": f"i{n:02}", "kind": "click"}
        for n in range(1 + number % 3)
    ]

def serve(home, number):
    engine = Engine(Settings(home=Path(home)))
    engine.load()
    while True:
        receipt = engine.accept(batch(number))
        assert receipt.accepted + receipt.duplicates == len(batch(number)) and not receipt.fallbacks, receipt
        print(json.dumps(number), flush=True)
        number += 1

for line in sys.stdin:
    child = os.fork()
    if not child:
        serve(*json.loads(line))
    print(json.dumps({"server": child}), flush=True)
    os.waitpid(child, 0)
    print(json.dumps("dead"), flush=True)
"""


class Servers:
    """One server after the other, each told at which batch to start."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SERVERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def start(self, home: Path, first: int) -> int:
        """Start one and wait until it has acknowledged a batch; its process."""
        assert self._process.stdin is not None
        print(json.dumps([str(home), first]), file=self._process.stdin, flush=True)
        told = [self._told(), self._told()]
        (server,) = (one["server"] for one in told if isinstance(one, dict))
        assert first in told
        return int(server)

    def kill(self, server: int) -> list[int]:
        """Kill it; the further batches that it had acknowledged."""
        os.kill(server, signal.SIGKILL)
        told: list[int] = []
        while (one := self._told()) != "dead":
            assert isinstance(one, int)
            told.append(one)
        return told

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _told(self) -> object:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


def batch(number: int) -> list[tuple[str, str]]:
    """Event ids and users of a batch, as the servers make it."""
    return [(f"{number}.{n}", f"u{(number + n) % 4:02}") for n in range(1 + number % 3)]


def interactions(home: Settings) -> list[int]:
    """Every user's, online."""
    log = EventLog(home.events)
    at = log.last_occurred_at() + compute.TICK
    found: list[int] = Store(home).online_rows({"user_id": USERS}, at=at, service="retrieval_v1")["user_interactions"]
    return found.to_pylist()


def test_a_killed_server_loses_no_acknowledged_event_and_tears_no_row(home: Settings, world) -> None:
    before = Counter(dict(zip(USERS, interactions(home), strict=True)))
    known = set(world.events["event_id"].to_pylist())
    chance, servers, first = random.Random(0), Servers(), 0
    try:
        for _ in range(KILLS):
            server = servers.start(home.home, first)  # the batch that the one before may not have finished, again
            time.sleep(chance.uniform(0, 0.1))
            last = max([first, *servers.kill(server)])
            first = last + 1

            acknowledged = {event for number in range(first) for event, _ in batch(number)}
            logged = EventLog(home.events).read()["event_id"].to_pylist()
            assert len(logged) == len(set(logged))
            begun = {event for event, _ in batch(first)}
            assert set(logged) - known in (acknowledged, acknowledged | begun)  # a batch is whole or not there

            least = before + Counter(user for number in range(first) for _, user in batch(number))
            most = least + Counter(user for _, user in batch(first))
            for user, count in zip(USERS, interactions(home), strict=True):
                assert count in (least[user], most[user])
    finally:
        servers.end()
    _agrees_after_a_materialization(home, world)


def _agrees_after_a_materialization(home: Settings, world) -> None:
    log = EventLog(home.events)
    at = log.last_occurred_at() + compute.TICK
    labelled = label_events(log.read(), world.manifest("first").kinds)
    store = Store(home)
    store.apply()  # the registry of a copied home names the files of the first one
    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, labelled, world.items, until=at))
    store.materialize(at)
    items = world.items["item_id"].to_pylist()
    moments = pa.array([at] * len(items), schema.TIMESTAMP)
    nobody = pa.nulls(len(items), pa.string())
    for user in USERS:
        asked = {"user_id": [user] * len(items), "item_id": items, "event_timestamp": moments, "requested_at": moments}
        offline = store.training_frame(pa.table(asked | {"device": nobody, "place": nobody}))
        online = store.online_frame(user, items, at=at)
        for name in store.feature_columns("ranking_v1").names:
            assert online[name] == offline[name], name


def test_an_event_sent_again_whose_first_server_died_before_its_features_were_written_is_online(home: Settings) -> None:
    event = {"event_id": "again", "user_id": "u00", "item_id": "i01", "kind": "click"}
    (before, *_) = interactions(home)
    at = EventLog(home.events).last_occurred_at()
    EventLog(home.events).append(pa.Table.from_pylist([event | {"occurred_at": at}], schema.EVENTS))
    engine = Engine(home)
    engine.load()
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == before
    receipt = engine.accept([event])
    assert (receipt.accepted, receipt.duplicates) == (0, 1)
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == before + 1
