"""Snapshots of views in memory: what is read is what the file holds, whoever wrote since, and whatever fails."""

import logging
import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from feast import Entity, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Array, Bool, Float32, Float64, Int64, String
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.schema import TIMESTAMP
from feature_repo.stores.packed import PackedOnlineStore, Part
from feature_repo.stores.packed_columns import decode
from feature_repo.stores.packed_file import PackedFile, Reading
from feature_repo.stores.packed_keys import EntityKeys, KnownIds, SomeIds
from feature_repo.stores.packed_layout import DEFINITION, layout_of
from feature_repo.stores.packed_rows import Rows
from feature_repo.stores.texts import Texts
from tests.packed_store import open_packed
from tests.processes import kill, start

SECONDS = float(os.environ.get("TRICHORD_FAULT_SECONDS", "3"))
KILLS = int(os.environ.get("TRICHORD_FAULT_KILLS", "20"))
START = datetime(2024, 1, 1, tzinfo=UTC)
IDS = ["", "a", "ab", "item-with-a-long-name-1", "item-with-a-long-name-2", "ü" * 300, "z"]
KINDS: dict[str, tuple[object, st.SearchStrategy[object]]] = {
    "yes": (Bool, st.booleans()),
    "count": (Int64, st.integers(-(2**63), 2**63 - 1)),
    "small": (Float32, st.floats(width=32, allow_nan=False)),
    "large": (Float64, st.floats(allow_nan=False)),
    "text": (String, st.text(max_size=5)),
    "texts": (Array(String), st.lists(st.text(max_size=3), max_size=3)),
    "numbers": (Array(Int64), st.lists(st.integers(0, 9), max_size=3)),
    "vector": (Array(Float32), st.lists(st.floats(width=32, allow_nan=False), min_size=3, max_size=3)),
}
TYPES = {"yes": pa.bool_(), "count": pa.int64(), "small": pa.float32(), "large": pa.float64(), "text": pa.string()}
TYPES |= {"texts": pa.list_(pa.string()), "numbers": pa.list_(pa.int64()), "vector": pa.list_(pa.float32())}

Store = tuple[PackedOnlineStore, RepoConfig]
Row = tuple[str, int, dict[str, object]]  # id, hours since START, values


def open_store(folder: Path, view: FeatureView, *, snapshots: bool = True) -> Store:
    return open_packed(folder, view, snapshots_of=["item_id"] if snapshots else [])


def view_of(
    names: Sequence[str], *, key: ValueType = ValueType.STRING, tags: dict[str, str] | None = None
) -> FeatureView:
    fields = [Field(name=name, dtype=KINDS[name][0]) for name in names if name != "vector"]
    if "vector" in names:
        fields.append(Field(name="vector", dtype=Array(Float32), vector_index=True, vector_length=3))
    kind = String if key is ValueType.STRING else Int64
    return FeatureView(
        name="items",
        entities=[Entity(name="item", join_keys=["item_id"], value_type=key)],
        schema=[Field(name="item_id", dtype=kind), *fields],
        source=FileSource(name="rows", path="rows.parquet", timestamp_field="event_timestamp"),
        ttl=timedelta(0),
        tags=tags or {},
    )


def table(names: Sequence[str], rows: Sequence[Row]) -> pa.Table:
    columns = {"item_id": pa.array([one for one, _, _ in rows], pa.string())}
    columns |= {name: pa.array([values[name] for *_, values in rows], TYPES[name]) for name in names}
    columns["event_timestamp"] = pa.array([START + timedelta(hours=hours) for _, hours, _ in rows], TIMESTAMP)
    return pa.table(columns)


def texts(ids: Sequence[str]) -> dict[str, pa.Array]:
    return {"item_id": pa.array(ids, pa.string())}


def numbered(number: int, ids: Sequence[str]) -> pa.Table:
    return table(["count", "text"], [(one, number, {"count": number, "text": str(number)}) for one in ids])


def files(folder: Path) -> list[Path]:
    return sorted((folder / "online" / "snapshots").glob("*"))


def read_known(store: Store, view: FeatureView, known: KnownIds, places: Sequence[int], part: Part) -> Rows:
    """Rows of some of `IDS`, by their places, as of ids that are asked for time and again."""
    ids = pa.array([IDS[place] for place in places], pa.string())
    some = SomeIds(known, np.array(places, np.int64))
    [rows] = store[0].read_parts(store[1], [part], {"item_id": ids}, known=some)
    return rows


def equal(ours: Rows, theirs: Rows) -> bool:
    return ours.columns == theirs.columns and ours.event_us.tolist() == theirs.event_us.tolist()


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, list[object]]]]:
    """Columns of a view, and what is done to it."""
    names = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True))
    ids = st.sampled_from(IDS)
    row = st.tuples(ids, st.integers(0, 9), st.fixed_dictionaries({one: st.none() | KINDS[one][1] for one in names}))
    step = st.one_of(
        st.tuples(st.just("write"), st.lists(row, max_size=6)),
        st.tuples(st.just("delete"), st.lists(ids, max_size=3)),
        st.tuples(st.just("snapshot"), st.just([])),
        st.tuples(st.just("read"), st.lists(ids, max_size=9)),
    )
    return names, draw(st.lists(step, max_size=14))


@settings(max_examples=80)
@given(history=histories(), fresh=st.none() | st.integers(0, 9))
def test_reads_are_those_without_a_snapshot(
    tmp_path_factory: pytest.TempPathFactory,
    history: tuple[list[str], list[tuple[str, list[object]]]],
    fresh: int | None,
) -> None:
    names, steps = history
    view = view_of(names)
    (ours, our_config), (plain, plain_config) = (
        open_store(tmp_path_factory.mktemp("home"), view, snapshots=snapshots) for snapshots in (True, False)
    )
    fresh_from = None if fresh is None else START + timedelta(hours=fresh)
    known, part = (
        KnownIds(pa.array(IDS, pa.string())),
        Part(layout_of(our_config.project, view), tuple(names), fresh_from),
    )
    for step, given_ in [*steps, ("read", IDS)]:
        if step == "snapshot":
            ours.snapshot(our_config, view)
            assert not plain.snapshot(plain_config, view)
            continue
        if step == "read":
            mine, wanted = (
                store.read_arrow(config, view, texts(given_), names, fresh_from=fresh_from)
                for store, config in ((ours, our_config), (plain, plain_config))
            )
            assert equal(mine, wanted)
            places = list(dict.fromkeys(IDS.index(str(one)) for one in given_))
            some = texts([IDS[place] for place in places])
            wanted = plain.read_arrow(plain_config, view, some, names, fresh_from=fresh_from)
            for store, config in ((ours, our_config), (plain, plain_config)):
                assert equal(read_known((store, config), view, known, places, part), wanted)
            continue
        for store, config in ((ours, our_config), (plain, plain_config)):
            if step == "write":
                store.write_arrow(config, view, table(names, given_))
            else:
                store.delete_rows(config, view, texts(given_))


def test_a_snapshot_is_what_is_read_until_a_key_is_written(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    store.write_arrow(config, view, numbered(1, ["a", "b"]))
    assert store.snapshot(config, view)
    layout = layout_of(config.project, view)
    with PackedFile(tmp_path / "online", 256 << 20).writing() as transaction:  # behind the store's back
        transaction.delete(layout.digest + b"a")
        transaction.delete(layout.digest + b"b")
    store.write_arrow(config, view, numbered(2, ["b"]))
    assert store.read_arrow(config, view, texts(["a", "b"]), ["count"]).columns["count"].to_pylist() == [1, 2]


def test_numbers_are_keys_too(tmp_path: Path) -> None:
    view = view_of(["count"], key=ValueType.INT64)
    store, config = open_store(tmp_path, view)
    ids = pa.array([5, -1, 2**62], pa.int64())
    when = pa.array([START] * 3, TIMESTAMP)
    store.write_arrow(config, view, pa.table({"item_id": ids, "count": [1, 2, 3], "event_timestamp": when}))
    assert store.snapshot(config, view)
    asked = pa.array([2**62, 7, -1, 5], pa.int64())
    assert store.read_arrow(config, view, {"item_id": asked}, ["count"]).columns["count"].to_pylist() == [3, None, 2, 1]


def test_ids_of_one_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Texts, "hashes", property(lambda texts: (texts.lengths % 2).astype("u8")))
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    for number, one in enumerate(["a", "b", "cc", "d"]):
        store.write_arrow(config, view, numbered(number, [one]))
    assert store.snapshot(config, view)
    found = store.read_arrow(config, view, texts(["d", "x", "cc", "b", "yy", "a"]), ["count"])
    assert found.columns["count"].to_pylist() == [3, None, 2, 1, None, 0]


def test_many_writes_end_a_snapshot_and_the_next_one_counts_again(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    many = [f"i{place}" for place in range(5000)]
    for number in (1, 2):
        store.write_arrow(config, view, numbered(number, many))
        assert set(store.read_arrow(config, view, texts(many), ["count"]).columns["count"].to_pylist()) == {number}
        assert store.snapshot(config, view)
    assert len(files(tmp_path)) == 1  # the former one is gone


def test_an_empty_view_has_no_snapshot(tmp_path: Path) -> None:
    view = view_of(["count"])
    store, config = open_store(tmp_path, view)
    assert not store.snapshot(config, view)
    assert store.read_arrow(config, view, texts(["a"]), ["count"]).columns["count"].to_pylist() == [None]
    assert not files(tmp_path)


def test_a_changed_view_reads_nothing_of_a_former_ones_snapshot(tmp_path: Path) -> None:
    former, changed = view_of(["count", "text"]), view_of(["count", "text"], tags={DEFINITION: "2"})
    store, config = open_store(tmp_path, former)
    store.write_arrow(config, former, numbered(1, ["a"]))
    assert store.snapshot(config, former)
    store.update(config, [], [changed], [], [], False)
    assert store.read_arrow(config, changed, texts(["a"]), ["count"]).columns["count"].to_pylist() == [None]
    store.write_arrow(config, changed, numbered(2, ["a"]))
    assert store.snapshot(config, changed)
    store.update(config, [], [changed], [], [], False)  # forgets the rows of the former definition
    assert store.read_arrow(config, former, texts(["a"]), ["count"]).columns["count"].to_pylist() == [None]
    assert store.read_arrow(config, changed, texts(["a"]), ["count"]).columns["count"].to_pylist() == [2]


def test_a_deleted_view_has_no_snapshot_left(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    store.write_arrow(config, view, numbered(1, ["a"]))
    store.snapshot(config, view)
    store.update(config, [view], [], [], [], False)
    assert store.read_arrow(config, view, texts(["a"]), ["count"]).columns["count"].to_pylist() == [None]
    store.teardown(config, [view], [])
    assert not files(tmp_path)


@pytest.mark.parametrize("opened_before", [False, True])
@pytest.mark.parametrize("damage", ["missing", "cut", "empty", "changed"])
def test_a_damaged_snapshot_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str, opened_before: bool
) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)

    def read() -> list[object]:
        found: list[object] = store.read_arrow(config, view, texts(["a", "b"]), ["count"]).columns["count"].to_pylist()
        return found

    store.write_arrow(config, view, numbered(1, ["a", "b"]))
    store.snapshot(config, view)
    if opened_before:
        assert read() == [1, 1]
    [file] = files(tmp_path)
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "changed" and opened_before:
        file.unlink()  # what is mapped stays
        file.write_bytes(b"?" * len(content))
    else:
        file.write_bytes({"cut": content[:-8], "empty": b"", "changed": content[:-9] + b"?" + content[-8:]}[damage])
    with caplog.at_level(logging.WARNING):
        assert read() == read() == [1, 1]
    noticed = not opened_before or damage in ("cut", "empty")
    assert [record.levelname for record in caplog.records] == ["WARNING"] * noticed
    assert not noticed or "snapshot of view items cannot be read" in caplog.text
    store.write_arrow(config, view, numbered(2, ["b"]))
    assert read() == [1, 2]
    assert store.snapshot(config, view)
    assert read() == [1, 2]


def test_a_snapshot_that_cannot_be_written_is_said_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    store.write_arrow(config, view, numbered(1, ["a"]))
    (tmp_path / "online" / "snapshots").write_text("in the way")
    with caplog.at_level(logging.WARNING):
        assert not store.snapshot(config, view)
    assert "no snapshot of view items could be written" in caplog.text
    assert store.read_arrow(config, view, texts(["a"]), ["count"]).columns["count"].to_pylist() == [1]


def write_rounds(folder: Path, first: int, told: Connection) -> None:
    """Write round after round, with a snapshot after some, each acknowledged by its number."""
    view = view_of(["count", "text"])
    store, config = open_store(folder, view)
    for number in range(first, 10**9):
        store.write_arrow(config, view, numbered(number, [f"i{place}" for place in range(200)]))
        told.send(number)
        if number % 3 == 0:
            store.snapshot(config, view)


def read_number(store: Store, view: FeatureView) -> int:
    """The number of the round that is seen; fails if rows of several are."""
    ids = [f"i{place}" for place in range(200)]
    found = store[0].read_arrow(store[1], view, texts(ids), ["count", "text"])
    [number] = set(found.columns["count"].to_pylist())
    assert set(found.columns["text"].to_pylist()) == {str(number)}
    return int(number)


def test_a_reader_sees_at_once_what_another_process_wrote(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store = open_store(tmp_path, view)
    writer, told = start(write_rounds, tmp_path, 0)
    deadline = time.monotonic() + SECONDS
    rounds = 0
    while time.monotonic() < deadline or rounds <= 2:
        acknowledged = told.recv()
        while told.poll():
            acknowledged = told.recv()
        assert read_number(store, view) >= acknowledged
        rounds += 1
    kill(writer)
    assert rounds > 2


def test_threads_see_the_rows_of_one_moment_while_others_write(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store = open_store(tmp_path, view)
    writer, told = start(write_rounds, tmp_path, 0)
    told.recv()
    deadline = time.monotonic() + SECONDS

    def read() -> list[int]:
        seen = [read_number(store, view)]
        while time.monotonic() < deadline:
            seen.append(read_number(store, view))
        return seen

    with ThreadPoolExecutor(4) as threads:
        read_by = [one.result() for one in [threads.submit(read) for _ in range(4)]]
    kill(writer)
    for seen in read_by:
        assert seen == sorted(seen)
        assert len(seen) > 2


def test_an_older_transaction_reads_no_rows_that_a_later_one_left(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    store.write_arrow(config, view, numbered(1, ["a", "b"]))
    store.snapshot(config, view)
    store.write_arrow(config, view, numbered(2, ["a"]))
    layout = layout_of(config.project, view)

    def read(reading: Reading) -> list[object]:
        found = reading.snapshots.read(reading.transaction, layout, EntityKeys(layout, texts(["a", "b", "c"])))
        assert found is not None
        counts: list[object] = decode(layout, found, ["count"]).columns["count"].to_pylist()
        return counts

    with ThreadPoolExecutor(1) as other, PackedFile(tmp_path / "online", 256 << 20).reading() as earlier:
        other.submit(store.write_arrow, config, view, numbered(3, ["a", "b", "c"])).result()
        found = other.submit(lambda: store.read_arrow(config, view, texts(["a", "b", "c"]), ["count"])).result()
        assert found.columns["count"].to_pylist() == [3, 3, 3]
        assert read(earlier) == [2, 1, None]
    assert store.read_arrow(config, view, texts(["a", "b", "c"]), ["count"]).columns["count"].to_pylist() == [3, 3, 3]


def test_rows_that_did_not_change_again_are_not_read_again(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store, config = open_store(tmp_path, view)
    store.write_arrow(config, view, numbered(1, ["a", "b"]))
    store.snapshot(config, view)
    store.write_arrow(config, view, numbered(2, ["a", "b"]))
    layout = layout_of(config.project, view)

    def counts() -> list[object]:
        found: list[object] = store.read_arrow(config, view, texts(["a", "b"]), ["count"]).columns["count"].to_pylist()
        return found

    assert counts() == [2, 2]
    with PackedFile(tmp_path / "online", 256 << 20).writing() as transaction:  # behind the store's back
        transaction.delete(layout.digest + b"a")
        transaction.delete(layout.digest + b"b")
    assert counts() == [2, 2]
    store.delete_rows(config, view, texts(["b"]))
    assert counts() == [2, None]


def test_a_process_killed_while_it_takes_a_snapshot_leaves_what_was(tmp_path: Path) -> None:
    view = view_of(["count", "text"])
    store = open_store(tmp_path, view)
    chance = random.Random(0)
    first = 0
    for _ in range(KILLS):
        writer, told = start(write_rounds, tmp_path, first)
        acknowledged = told.recv()
        time.sleep(chance.uniform(0, 0.05))
        kill(writer)
        while told.poll():
            try:
                acknowledged = told.recv()
            except EOFError:
                break
        assert read_number(store, view) in (acknowledged, acknowledged + 1)
        first = acknowledged + 2
    assert store[0].snapshot(store[1], view)
    assert len([path for path in files(tmp_path) if path.suffix == ".snapshot"]) == 1
    read_number(store, view)
