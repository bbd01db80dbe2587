"""What happens to the packed online store when processes die, share it, and when its file or its disk fails.

TRICHORD_FAULT_KILLS (default 20) is how often the writer is killed, TRICHORD_FAULT_SECONDS (default 3) how long two
processes read while one writes.
"""

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Int64, String

from feature_repo.errors import StoreUnavailableError
from feature_repo.stores.packed import PackedOnlineStore
from tests.packed_store import open_packed
from tests.processes import kill, start

KILLS = int(os.environ.get("TRICHORD_FAULT_KILLS", "20"))
SECONDS = float(os.environ.get("TRICHORD_FAULT_SECONDS", "3"))
START = datetime(2024, 1, 1, tzinfo=UTC)
ENTITIES = 200


def open_store(folder: Path) -> tuple[PackedOnlineStore, RepoConfig, FeatureView]:
    """A store of rows that hold one number three times over, as a number, a text and in a list."""
    view = FeatureView(
        name="rounds",
        entities=[Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING)],
        schema=[
            Field(name="user_id", dtype=String),
            Field(name="number", dtype=Int64),
            Field(name="text", dtype=String),
            Field(name="several", dtype=Array(Int64)),
        ],
        source=FileSource(name="rows", path="rows.parquet", timestamp_field="event_timestamp"),
        ttl=timedelta(0),
    )
    return *open_packed(folder, view), view


def rows(number: int) -> pa.Table:
    """A round: every entity's row of one number."""
    moment = pa.scalar(START + timedelta(seconds=number), pa.timestamp("us", "UTC"))
    return pa.table(
        {
            "user_id": [f"u{place}" for place in range(ENTITIES)],
            "number": [number] * ENTITIES,
            "text": [str(number) * (1 + number % 50)] * ENTITIES,
            "several": [[number] * (number % 50)] * ENTITIES,
            "event_timestamp": pa.repeat(moment, ENTITIES),
        }
    )


def read(store: PackedOnlineStore, config: RepoConfig, view: FeatureView) -> npt.NDArray[np.int64]:
    """The number of every entity's row; fails where a row is torn or lacks."""
    ids = {"user_id": pa.array([f"u{place}" for place in range(ENTITIES)])}
    found = store.read_arrow(config, view, ids, ["number", "text", "several"])
    number: npt.NDArray[np.int64] = found.columns["number"].to_numpy()
    for one, text, several in zip(
        number.tolist(), found.columns["text"].to_pylist(), found.columns["several"].to_pylist(), strict=True
    ):
        assert text == str(one) * (1 + one % 50)
        assert several == [one] * (one % 50)
    return number


def write_rounds(folder: Path, first: int, told: Connection) -> None:
    """Write round after round, each acknowledged by its number."""
    opened = open_store(folder)
    for number in range(first, sys.maxsize):
        opened[0].write_arrow(*opened[1:], rows(number))
        told.send(number)


def read_rounds(folder: Path, told: Connection) -> None:
    """Read for SECONDS, or until two rounds were seen, each whole and none older than one before; tell how many."""
    opened = open_store(folder)
    begun = time.monotonic()
    seen = [-1]
    while (passed := time.monotonic() - begun) < SECONDS or (len(seen) <= 2 and passed < 60):
        found = set(read(*opened).tolist())
        assert len(found) == 1
        assert min(found) >= seen[-1]
        seen += found - {seen[-1]}
    told.send(len(seen))


def test_a_killed_writer_loses_no_acknowledged_row_and_tears_none(tmp_path: Path) -> None:
    opened = open_store(tmp_path)
    chance = random.Random(0)
    first = 0
    for _ in range(KILLS):
        writer, told = start(write_rounds, tmp_path, first)
        acknowledged = told.recv()
        time.sleep(chance.uniform(0, 0.1))
        kill(writer)
        with contextlib.suppress(EOFError):
            while True:
                acknowledged = told.recv()
        found = set(read(*opened).tolist())
        assert found in ({acknowledged}, {acknowledged + 1})  # one more may be done and not yet told
        first = acknowledged + 1


def test_two_processes_read_while_one_writes(tmp_path: Path) -> None:
    store, config, view = open_store(tmp_path)
    store.write_arrow(config, view, rows(0))
    writer, _told = start(write_rounds, tmp_path, 1)
    readers = [start(read_rounds, tmp_path) for _ in range(2)]
    for reader, _ in readers:
        reader.join()
    kill(writer)
    for reader, told in readers:
        assert reader.exitcode == 0
        assert told.recv() > 2


def test_a_fork_reads_and_writes_on_its_own(tmp_path: Path) -> None:
    store, config, view = open_store(tmp_path)
    store.write_arrow(config, view, rows(1))
    child = os.fork()
    if not child:
        try:
            read(store, config, view)
            store.write_arrow(config, view, rows(2))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert set(read(store, config, view).tolist()) == {2}


def test_a_store_replaced_by_another_is_seen(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    opened = open_store(old)
    other = open_store(new)
    for number, (store, config, view) in enumerate([opened, other]):
        store.write_arrow(config, view, rows(number))
    assert set(read(*opened).tolist()) == {0}
    shutil.rmtree(old / "online")
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        read(*opened)
    shutil.copytree(new / "online", old / "online")
    assert set(read(*opened).tolist()) == {1}


@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize("damage", ["garbage", "cut", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str, opened_before: bool) -> None:
    made = tmp_path / "made"
    store, config, view = open_store(made)
    store.write_arrow(config, view, rows(3))
    folder = made
    if not opened_before:  # another file for this process
        folder = tmp_path / "copied"
        shutil.copytree(made, folder)
    file = folder / "online" / "data.mdb"
    size = file.stat().st_size
    if damage == "cut":
        os.truncate(file, size // 2)
    else:
        file.unlink()
        file.write_bytes(b"" if damage == "empty" else b"garbage" * 9999)
    config.online_store.path = str(folder / "online")
    with pytest.raises(StoreUnavailableError, match=f"{folder.name}/online: the online store does not answer"):
        read(store, config, view)
    with pytest.raises(StoreUnavailableError, match="delete the folder first if it is damaged"):
        store.write_arrow(config, view, rows(4))


def test_a_full_store_says_so_and_what_it_has_is_served(tmp_path: Path) -> None:
    store, config, view = open_store(tmp_path)
    config.online_store.map_size_mib = 1
    config.online_store.path = str(tmp_path / "small")
    store.update(config, [], [view], [], [], False)
    store.write_arrow(config, view, rows(5))
    large = rows(6).set_column(2, "text", pa.array(["x" * 10_000] * ENTITIES))
    with pytest.raises(StoreUnavailableError, match=r"is full \(1 MiB\); raise map_size_mib"):
        store.write_arrow(config, view, large)
    assert set(read(store, config, view).tolist()) == {5}
    store.write_arrow(config, view, rows(7))
    assert set(read(store, config, view).tolist()) == {7}


def test_a_full_disk_says_so_and_what_it_has_is_served(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        opened = store, config, view = open_store(disk)
        store.write_arrow(config, view, rows(5))
        large = rows(6).set_column(2, "text", pa.array(["x" * 20_000] * ENTITIES))
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="see that its disk has room"):
                store.write_arrow(config, view, large)
            assert set(read(*opened).tolist()) == {5}
        store.write_arrow(config, view, rows(7))
        assert set(read(*opened).tolist()) == {7}
        store.teardown(config, [view], [])
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
