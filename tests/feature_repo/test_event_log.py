import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import day_partitions, schema, write_ahead
from feature_repo.errors import EventLogError
from feature_repo.event_log import Appended, EventLog

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
NEVER, ALWAYS = 1 << 60, 1  # compact_at


def events(*rows: tuple[str, datetime], user: str = "u1", item: str = "i1") -> pa.Table:
    """One event an (event_id, occurred_at)."""
    return pa.Table.from_pylist(
        [
            {"event_id": one, "user_id": user, "item_id": item, "kind": "click", "value": 1.0, "occurred_at": at}
            for one, at in rows
        ],
        schema.EVENTS,
    )


def ids(table: pa.Table) -> list[str]:
    one: list[str] = table["event_id"].to_pylist()
    return one


def hours(*offsets: int) -> list[datetime]:
    return [NOON + timedelta(hours=offset) for offset in offsets]


def test_a_log_without_a_folder_is_empty(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events")
    assert (len(log), log.ids(), log.last_occurred_at(), log.read()) == (0, set(), None, schema.EVENTS.empty_table())
    assert not log.folder.exists()


@pytest.mark.parametrize("compact_at", [NEVER, ALWAYS])
def test_an_event_sent_twice_is_kept_once(tmp_path: Path, compact_at: int) -> None:
    log = EventLog(tmp_path, compact_at=compact_at)
    first = events(("a", NOON), ("b", NOON), ("a", NOON))
    assert log.append(first) == Appended(accepted=2, duplicates=1)
    assert log.append(first) == Appended(accepted=0, duplicates=3)
    assert EventLog(tmp_path).append(events(("b", NOON), ("c", NOON))) == Appended(accepted=1, duplicates=1)
    assert ids(log.read()) == ["a", "b", "c"]
    assert log.read().schema == schema.EVENTS


@pytest.mark.parametrize("compact_at", [NEVER, ALWAYS])
def test_events_come_back_in_order_of_time_then_id_whatever_order_they_came_in(tmp_path: Path, compact_at: int) -> None:
    late, early, before = hours(5, -40, -5000)
    log = EventLog(tmp_path, compact_at=compact_at)
    for batch in (events(("z", late), ("d", early)), events(("b", early)), events(("x", before))):
        log.append(batch)
    assert ids(log.read()) == ["x", "b", "d", "z"]
    assert log.last_occurred_at() == late
    assert EventLog(tmp_path).last_occurred_at() == late


_BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8), max_size=6)


@settings(max_examples=25)
@given(batches=_BATCHES, compact_at=st.sampled_from([NEVER, 3000, ALWAYS]))
def test_any_batches_with_repeats_leave_each_event_once(batches: list[list[tuple[int, bool]]], compact_at: int) -> None:
    moments = {number: NOON + timedelta(hours=7 * (number % 11)) for number in range(31)}
    with tempfile.TemporaryDirectory() as folder:
        log, accepted = EventLog(Path(folder), compact_at=compact_at), 0
        for batch in batches:
            writer = EventLog(Path(folder), compact_at=compact_at) if any(other for _, other in batch) else log
            accepted += writer.append(events(*((f"e{number:02}", moments[number]) for number, _ in batch))).accepted
        sent = {number for batch in batches for number, _ in batch}
        want = [f"e{number:02}" for number in sorted(sent, key=lambda number: (moments[number], number))]
        assert ids(log.read()) == want
        assert ids(EventLog(Path(folder)).read()) == want
        assert accepted == len(log) == len(want)


@pytest.mark.parametrize("compact_at", [NEVER, ALWAYS])
def test_reads_choose_by_time_user_and_item(tmp_path: Path, compact_at: int) -> None:
    log = EventLog(tmp_path, compact_at=compact_at)
    log.append(events(("a", NOON), ("b", NOON + timedelta(hours=1)), user="u1", item="i1"))
    log.append(events(("c", NOON + timedelta(days=2)), user="u2", item="i1"))
    log.append(events(("d", NOON + timedelta(days=2)), user="u1", item="i2"))
    assert ids(log.read(since=NOON, until=NOON + timedelta(hours=1))) == ["a"]
    assert ids(log.read(since=NOON + timedelta(hours=1))) == ["b", "c", "d"]
    assert ids(log.read(until=NOON)) == []
    assert ids(log.read(users=["u1"], items=["i1", "i2"], since=NOON + timedelta(days=1))) == ["d"]
    assert ids(log.read(users=[])) == []
    with pytest.raises(EventLogError, match="no time zone"):
        log.read(since=datetime(2024, 1, 1))


def test_each_day_is_a_partition_that_plain_duckdb_reads(tmp_path: Path) -> None:
    midnight = datetime(2024, 3, 1, tzinfo=UTC)
    log = EventLog(tmp_path)
    log.append(
        events(("a", midnight - timedelta(microseconds=1)), ("b", midnight), ("c", datetime(1969, 7, 20, tzinfo=UTC)))
    )
    log.compact()
    assert sorted(folder.name for folder in tmp_path.glob("day=*")) == [
        "day=1969-07-20",
        "day=2024-02-29",
        "day=2024-03-01",
    ]
    found = duckdb.sql(
        f"select event_id, cast(day as varchar) from read_parquet('{tmp_path}/day=*/*.parquet') order by all"
    )
    assert found.fetchall() == [("a", "2024-02-29"), ("b", "2024-03-01"), ("c", "1969-07-20")]


def test_a_relation_holds_partitions_and_fresh_events_and_stays_as_it_was(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append(events(("a", NOON)))
    log.compact()
    log.append(events(("b", NOON)))
    with duckdb.connect() as con:
        log.relation(con).create_view("log")
        log.append(events(("c", NOON)))
        log.compact()
        assert con.sql("select event_id, kind, value from log order by event_id").fetchall() == [
            ("a", "click", 1.0),
            ("b", "click", 1.0),
        ]
        assert log.relation(con).columns == schema.EVENTS.names


def test_a_torn_frame_is_as_if_never_written(tmp_path: Path) -> None:
    EventLog(tmp_path).append(events(("a", NOON)))
    wal = tmp_path / "wal.log"
    whole_before = wal.stat().st_size
    EventLog(tmp_path).append(events(("b", NOON), ("c", NOON)))
    content = wal.read_bytes()
    for kept in {*range(whole_before, whole_before + 18, 3), *range(whole_before, len(content), 211), len(content) - 1}:
        wal.write_bytes(content[:kept])
        log = EventLog(tmp_path)
        assert ids(log.read()) == ["a"]
        assert log.append(events(("c", NOON), ("d", NOON))) == Appended(accepted=2, duplicates=0)
        assert ids(EventLog(tmp_path).read()) == ["a", "c", "d"]


def test_a_move_that_was_cut_off_is_unseen_and_done_again(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    whole = events(("a", NOON), ("b", NOON + timedelta(days=1)))
    log.append(whole)
    day_partitions.write(tmp_path, 0, whole.slice(0, 1))  # what the dead writer got done
    (tmp_path / "day=2024-02-29" / "00000000-01234567.parquet.tmp").write_bytes(b"PAR1")
    assert ids(EventLog(tmp_path).read()) == ["a", "b"]
    log.append(events(("c", NOON)))
    log.compact()
    assert ids(EventLog(tmp_path).read()) == ["a", "c", "b"]
    assert [len(list(folder.iterdir())) for folder in sorted(tmp_path.glob("day=*"))] == [1, 1]


@pytest.mark.parametrize("moved", [False, True])
def test_damage_is_an_error_that_names_the_file(tmp_path: Path, moved: bool) -> None:
    log = EventLog(tmp_path)
    log.append(events(("a", NOON)))
    log.append(events(("b", NOON)))
    if moved:
        log.compact()
    [file] = tmp_path.glob("day=*/*.parquet") if moved else [tmp_path / "wal.log"]
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)
    for action in (
        EventLog(tmp_path).read,
        EventLog(tmp_path).ids,
        lambda: EventLog(tmp_path).append(events(("c", NOON))),
    ):
        with pytest.raises(EventLogError, match=f"{file.name}.*checksum.*append"):
            action()


def test_a_lost_write_ahead_file_is_an_error_not_an_empty_log(tmp_path: Path) -> None:
    log = EventLog(tmp_path, compact_at=ALWAYS)
    log.append(events(("a", NOON)))
    (tmp_path / "wal.log").unlink()
    for action in (log.read, lambda: log.append(events(("b", NOON)))):
        with pytest.raises(EventLogError, match=r"wal.log: missing"):
            action()


def test_events_that_do_not_fit_are_refused_whole(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    good = events(("a", NOON))
    with pytest.raises(EventLogError, match="lack the columns kind"):
        log.append(good.drop_columns("kind"))
    with pytest.raises(EventLogError, match="occurred_at"):
        log.append(good.set_column(5, "occurred_at", pa.array([None], schema.TIMESTAMP)))
    with pytest.raises(EventLogError, match="value"):
        log.append(good.set_column(4, "value", pa.array(["much"])))
    assert len(log) == 0


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EventLogError, match="cannot be written"):
        EventLog(tmp_path / "file" / "events").append(events(("a", NOON)))


_WRITER = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
import pyarrow as pa
from feature_repo import schema
from feature_repo.event_log import EventLog

folder, name, first, batches = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
log = EventLog(folder, compact_at=30_000)
for batch in range(first, first + batches):
    rows = [
        {"event_id": f"{name}{batch}.{n}", "user_id": "u", "item_id": "i", "kind": "k", "session_id": f"{name}{batch}",
         "occurred_at": datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=batch + 9 * n)}
        for n in range(1 + batch % 9)
    ]
    print(batch, log.append(pa.Table.from_pylist(rows, schema.EVENTS)).accepted, flush=True)
"""


def _writer(folder: Path, name: str, first: int, batches: int) -> "subprocess.Popen[str]":
    arguments: Sequence[str] = [sys.executable, "-c", _WRITER, str(folder), name, str(first), str(batches)]
    root = Path(__file__).parents[2]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ})


def test_a_writer_killed_at_any_moment_loses_nothing_acknowledged_and_leaves_no_half_batch(tmp_path: Path) -> None:
    rng, acknowledged, first = random.Random(0), set[int](), 0
    for _ in range(5):
        writer = _writer(tmp_path, "w", first, 100_000)
        assert writer.stdout is not None
        acknowledged.add(int(writer.stdout.readline().split()[0]))
        time.sleep(rng.uniform(0, 0.4))
        writer.send_signal(signal.SIGKILL)
        acknowledged.update(int(line.split()[0]) for line in writer.stdout.read().splitlines())
        writer.stdout.close()
        writer.wait()
        first = max(acknowledged) + 1  # the batch that was cut off is sent again
        found = ids(EventLog(tmp_path).read())
        assert len(found) == len(set(found))
        batches: dict[int, int] = {}
        for one in found:
            batch = int(one[1:].partition(".")[0])
            batches[batch] = batches.get(batch, 0) + 1
        assert acknowledged <= set(batches) <= acknowledged | {first}
        assert all(count == 1 + batch % 9 for batch, count in batches.items())
    assert list(tmp_path.glob("day=*/*.parquet"))  # moves took place, and were hit too


def test_two_writers_at_once_keep_each_event_once(tmp_path: Path) -> None:
    writers = [_writer(tmp_path, "same", 0, 60), _writer(tmp_path, "same", 20, 60)]
    outputs = [writer.communicate()[0] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0]
    want = {f"same{batch}.{n}" for batch in range(80) for n in range(1 + batch % 9)}
    found = ids(EventLog(tmp_path).read())
    assert sorted(found) == sorted(want)
    assert sum(int(line.split()[1]) for output in outputs for line in output.splitlines()) == len(want)


def test_every_row_tells_when_it_was_taken_in(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    before = datetime.now(UTC)
    log.append(events(("a", NOON), ("b", NOON)))
    between = datetime.now(UTC)
    log.compact()
    log.append(events(("c", NOON)))
    found = {row["event_id"]: row["received_at"] for row in EventLog(log.folder).read(received=True).to_pylist()}
    assert before <= found["a"] == found["b"] <= between <= found["c"] <= datetime.now(UTC)
    assert log.read().schema == schema.EVENTS


@pytest.mark.parametrize("older", [0, 1])
def test_rows_of_a_log_that_kept_no_such_time_have_none(tmp_path: Path, older: int) -> None:
    log = EventLog(tmp_path / "log")
    for place, batch in enumerate([events(("a", NOON), ("b", NOON)), events(("c", NOON))]):
        if place == older:
            with log._writing():
                write_ahead.append(log._wal, log._catch_up().offset, batch)
        else:
            log.append(batch)
        log.compact()
    found = EventLog(log.folder).read(received=True)
    assert [row["received_at"] is None for row in found.to_pylist()] == [older == 0, older == 0, older == 1]
    assert len(EventLog(log.folder).read()) == 3


def test_known_ids_are_found(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    assert log.known(["a"]) == set()
    log.append(events(("a", NOON), ("b", NOON)))
    assert log.known(["a", "c"]) == EventLog(log.folder).known(["a", "c"]) == {"a"}
