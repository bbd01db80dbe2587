"""What a materialization leaves that is killed at any moment, while another process reads.

TRICHORD_FAULT_KILLS (default 10) is how often it is killed; one in twenty of them is `feast materialize` in a shell.
"""

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import schema
from feature_repo.configuration import REPO
from feature_repo.freshness import freshness
from feature_repo.settings import Settings
from feature_repo.store import Store
from feature_repo.stores import arrow_engine, packed
from feature_repo.view_rows import columns_of
from feature_repo.views import feature_views
from tests.processes import kill, start

KILLS = int(os.environ.get("TRICHORD_FAULT_KILLS", "10"))
START = datetime(2024, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=100)
USERS = [f"u{place:03}" for place in range(400)]
VIEWS = ["user_activity", "user_item_affinity", "user_vectors"]


def moment(number: int) -> datetime:
    return START + timedelta(seconds=number)


def rows(number: int) -> dict[str, pa.Table]:
    """A round: rows of every user that hold one number in every column, in lists as often as it says."""
    n = len(USERS)
    keys = {
        schema.USER_ID: pa.array(USERS),
        schema.EVENT_TIMESTAMP: pa.repeat(pa.scalar(moment(number), schema.TIMESTAMP), n),
    }
    activity = columns_of(feature_views(Settings())["user_activity"])
    affinity = {
        "affinity_categories": [[str(number)] * (number % 30)] * n,
        "affinity_weights": [[number] * (number % 30)] * n,
        "last_categories": [[str(number)]] * n,
    }
    return {
        "user_activity": pa.table(keys | {name: [number] * n for name in activity if name not in keys}),
        "user_item_affinity": pa.table(keys | affinity),
        "user_vectors": pa.table(keys | {"user_vector": [[number] * 128] * n}),
    }


def found(store: Store) -> dict[str, list[int]]:
    """The number of every user's row, by view; fails where a row is torn or lacks."""
    answer = store.online_rows({schema.USER_ID: USERS}, at=LATER, service="retrieval_v1")
    vectors = np.vstack(answer["user_vector"].to_numpy())
    (text,) = zip(*answer["last_categories"].to_pylist(), strict=True)
    numbers = {"user_vectors": vectors[:, 0].astype(int).tolist(), "user_item_affinity": [int(one) for one in text]}
    assert (vectors == vectors[:, :1]).all()
    for number, categories, weights in zip(
        numbers["user_item_affinity"],
        answer["affinity_categories"].to_pylist(),
        answer["affinity_weights"].to_pylist(),
        strict=True,
    ):
        assert categories == [str(number)] * (number % 30)
        assert weights == [number] * (number % 30)
    numbers["user_activity"] = answer["user_interactions"].to_pylist()
    for name in store.plan("retrieval_v1").stored[schema.USER_ID]["user_activity"].fields:
        assert answer[name].to_pylist() == numbers["user_activity"]
    return numbers


def put(store: Store, number: int) -> None:
    """Write a round and materialize it."""
    for view, table in rows(number).items():
        store.write_view(view, table)
    store.materialize(moment(number))


def put_rounds(home: Path, first: int, told: Connection) -> None:
    """Round after round, each acknowledged by its number."""
    store = Store(Settings(home=home))
    for number in range(first, sys.maxsize):
        put(store, number)
        told.send(number)


def read_on(home: Path, told: Connection) -> None:
    """Read until told to stop, three times at least: each user's rows are there, whole, never older than before."""
    store, before, reads = Store(Settings(home=home)), dict.fromkeys(VIEWS, [0] * len(USERS)), 0
    while reads <= 2 or not told.poll():
        now = found(store)
        assert all(new >= old for view in VIEWS for new, old in zip(now[view], before[view], strict=True))
        fresh = Store(Settings(home=home))  # reads the registry as it is now, by Feast's own call
        answer = fresh.feast.get_online_features(["user_activity:user_positives"], {schema.USER_ID: USERS[:1]})
        assert answer.to_dict()["user_positives"] != [None]
        before, reads = now, reads + 1
    told.send(reads)


@contextlib.contextmanager
def reading(home: Path) -> Iterator[None]:
    """Have another process read meanwhile."""
    process, told = start(read_on, home)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            told.send("stop")
        process.join()
    assert process.exitcode == 0
    assert told.recv() > 2


def check(store: Store, acknowledged: int) -> None:
    """What is online after a kill, by the rows and by Feast's registry."""
    for numbers in found(store).values():
        assert set(numbers) <= {acknowledged, acknowledged + 1}
    for one in freshness(store, clock=moment(acknowledged)):
        if one.view in VIEWS:
            assert one.materialized_until in (moment(acknowledged), moment(acknowledged + 1))
            assert one.ok


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Round 0 is online; a batch is small, so that a kill falls between two of them."""
    monkeypatch.setattr(arrow_engine, "_BATCH", 50)
    monkeypatch.setattr(packed, "_BATCH", 50)
    store = Store(Settings(home=tmp_path))
    store.apply()
    put(store, 0)
    put(store, 1)
    return tmp_path


def test_a_killed_materialization_loses_no_row_and_tears_none(home: Path) -> None:
    chance, first = random.Random(0), 2
    with reading(home):
        for _ in range(KILLS):
            writer, told = start(put_rounds, home, first)
            acknowledged = told.recv()  # running again completes
            time.sleep(chance.uniform(0, 0.3))
            kill(writer)
            with contextlib.suppress(EOFError):
                while True:
                    acknowledged = told.recv()
            check(Store(Settings(home=home)), acknowledged)
            first = acknowledged + 1


def test_a_killed_feast_materialize_loses_no_row_and_tears_none(home: Path) -> None:
    chance, number = random.Random(1), 1
    command = [Path(sys.executable).parent / "feast", "-c", REPO, "materialize", START.isoformat(), LATER.isoformat()]
    with reading(home):
        for _ in range(max(1, KILLS // 20)):
            store = Store(Settings(home=home))
            for view, table in rows(number + 1).items():
                store.write_view(view, table)
            shell = subprocess.Popen(
                command,
                env={**os.environ, "TRICHORD_HOME": str(home), "PYTHONUNBUFFERED": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert shell.stdout is not None
            said = ""
            while "Materializing" not in said:
                said = shell.stdout.readline()
                assert said
            time.sleep(chance.uniform(0, 0.5))
            shell.kill()
            shell.stdout.close()
            shell.wait()
            for numbers in found(store).values():
                assert set(numbers) <= {number, number + 1}
            put(store, number + 1)
            number += 1
            assert all(set(numbers) == {number} for numbers in found(store).values())
