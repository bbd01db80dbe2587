"""A full disk: what is said, that nothing stored before is lost, and that all works again once there is room."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from feature_repo import schema
from feature_repo.errors import EventLogError, StoreError, StoreUnavailableError
from feature_repo.event_log import Appended, EventLog
from feature_repo.served import ServedLog
from feature_repo.settings import Sampling, Settings
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
PAGE = 4096  # of a tmpfs
USERS = [f"u{place}" for place in range(1000)]
NEVER, ALWAYS = 1 << 60, 1  # compact_at


class Disk:
    """A file system of a few MB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, *, but: int = 0) -> None:
        """Take all room but that of some pages."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while file.write(bytes(PAGE)):
                    pass
            except OSError:
                file.truncate(file.tell() // PAGE * PAGE - but * PAGE)

    def make_room(self) -> None:
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def events(first: int, n: int, *, days: int = 1) -> pa.Table:
    rows = [
        {
            "event_id": f"e{one}",
            "user_id": f"user {one}",
            "item_id": f"item {one}",
            "kind": "click",
            "occurred_at": START + timedelta(days=one % days),
        }
        for one in range(first, first + n)
    ]
    return pa.Table.from_pylist(rows, schema.EVENTS)


def vectors(number: int) -> pa.Table:
    """Every user's vector of random numbers around one."""
    drawn = np.random.default_rng(number).normal(number, 0.01, (len(USERS), 128)).astype(np.float32)
    return pa.table(
        {
            "user_id": USERS,
            "event_timestamp": pa.repeat(pa.scalar(START + timedelta(hours=number), schema.TIMESTAMP), len(USERS)),
            "user_vector": drawn.tolist(),
        }
    )


def online(store: Store) -> pa.ChunkedArray:
    return store.online_rows({"user_id": USERS}, at=START + timedelta(days=1), service="retrieval_v1")["user_vector"]


def test_an_event_log_keeps_what_it_acknowledged_and_goes_on(disk: Disk) -> None:
    log = EventLog(disk.folder / "events", compact_at=NEVER)
    log.append(events(0, 100))
    disk.fill()
    for writer in (log, EventLog(log.folder)):
        with pytest.raises(EventLogError, match=r"No space left.*nothing acknowledged is lost; make room"):
            writer.append(events(100, 1000))
        for reader in (log, EventLog(log.folder)):
            assert len(reader) == len(reader.read()) == 100
    disk.make_room()
    assert log.append(events(50, 1050)) == Appended(accepted=1000, duplicates=50)
    assert len(EventLog(log.folder).read()) == 1100


def test_an_event_that_is_on_disk_is_acknowledged_though_there_is_no_room_to_move_it(
    disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    folder = disk.folder / "events"
    EventLog(folder, compact_at=NEVER).append(events(0, 100, days=20))
    disk.fill(but=2)
    log = EventLog(folder, compact_at=ALWAYS)
    assert log.append(events(100, 1)) == Appended(accepted=1, duplicates=0)
    assert "wait to be moved into day partitions" in caplog.text
    assert len(log.read()) == len(EventLog(folder).read()) == 101
    disk.make_room()
    log.append(events(101, 1))
    assert len(list(folder.glob("day=*/*.parquet"))) == 20
    assert len(log.read()) == len(EventLog(folder).read()) == 102


@pytest.fixture
def store(disk: Disk) -> Store:
    """Round 1 is online."""
    one = Store(Settings(home=disk.folder))
    one.apply()
    one.write_view("user_vectors", vectors(1))
    one.materialize(START + timedelta(hours=1))
    return one


def test_rows_that_find_no_room_leave_those_of_before(disk: Disk, store: Store) -> None:
    written = store.read_view("user_vectors")
    disk.fill()
    with pytest.raises(
        StoreError, match=r"user_vectors.parquet: rows cannot be written .*those of before stay; make r"
    ):
        store.write_view("user_vectors", vectors(2))
    with pytest.raises(StoreError, match=r"item_content.parquet: rows cannot be written"):
        store.write_view("item_content", _content())
    assert store.read_view("user_vectors") == written
    disk.make_room()
    assert not list(disk.folder.glob("lake/features/*.partial"))
    assert [path.name for path in disk.folder.glob("lake/features/*")] == ["user_vectors.parquet"]
    store.write_view("user_vectors", vectors(2))
    assert store.read_view("user_vectors")["user_vector"] == vectors(2)["user_vector"].cast(pa.list_(pa.float32()))


@pytest.mark.parametrize("pages", [0, 12])  # as many as Feast's registry takes, which is written first
def test_a_materialization_that_finds_no_room_leaves_what_is_online(disk: Disk, store: Store, pages: int) -> None:
    before = online(store)
    store.write_view("user_vectors", vectors(2))
    disk.fill(but=pages)
    for one in (store, Store(store.settings)):
        with pytest.raises(StoreError, match=r"(registry.db: .* make room|online store does not answer .* has room)"):
            one.materialize(START + timedelta(hours=2))
        with pytest.raises(StoreUnavailableError, match="see that its disk has room"):
            one.push("user_vectors", vectors(3))
        assert online(one) == before
    disk.make_room()
    store.materialize(START + timedelta(hours=2))
    assert online(store) == online(Store(store.settings)) == vectors(2)["user_vector"].cast(pa.list_(pa.float32()))


def test_a_registry_that_finds_no_room_stays_as_it_was(disk: Disk, store: Store) -> None:
    registry = disk.folder / "registry.db"
    before = registry.read_bytes()
    disk.fill()
    with pytest.raises(StoreError, match=r"registry.db: the registry cannot be written .*; make room"):
        store.feast.registry.commit()
    with pytest.raises(StoreError, match="room"):
        Store(store.settings).apply()
    assert registry.read_bytes() == before
    assert online(Store(store.settings)).null_count == 0
    disk.make_room()
    Store(store.settings).apply()


def test_served_vectors_that_find_no_room_are_counted(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    log = ServedLog(disk.folder / "served", Sampling(share=1, flush_s=3600))

    def offer(request: str) -> None:
        log.offer(vectors(1), request_id=request, read_at=START, release="r", service="s")
        log.flush()

    offer("first")
    disk.fill()
    offer("second")
    assert "vectors of 1 requests are dropped" in caplog.text
    assert "No space left" in caplog.text
    assert set(log.sample(5)[0]["request_id"].to_pylist()) == {"first"}
    disk.make_room()
    assert not list(log.folder.glob("*/*.tmp"))
    offer("third")
    assert set(log.sample(5)[0]["request_id"].to_pylist()) == {"first", "third"}
    assert log.counts() == {"offered": 3, "kept": 2, "vectors": 200, "over_cap": 0, "dropped": 1}


def _content() -> pa.Table:
    row = {"item_id": "a", "event_timestamp": START, "categories": ["x"], "created_at": 0}
    return pa.Table.from_pylist(
        [row | {"has_text": True, "has_image": False, "has_audio": False}],
        pa.schema(
            {
                "item_id": pa.string(),
                "event_timestamp": schema.TIMESTAMP,
                "categories": pa.list_(pa.string()),
                "created_at": pa.int64(),
                **{f"has_{one}": pa.bool_() for one in ("text", "image", "audio")},
            }
        ),
    )
