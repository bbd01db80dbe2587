"""Users leave the event log whole, durably, beside readers and writers, and do not come back."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from feature_repo import schema, write_ahead
from feature_repo.event_log import Appended, EventLog

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)


def events(user, *numbers, at=NOON):
    rows = [
        {
            "event_id": f"{user}.{n}",
            "user_id": user,
            "item_id": "i",
            "kind": "k",
            "occurred_at": at + timedelta(hours=n),
        }
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, schema.EVENTS)


def users(table):
    return set(table["user_id"].to_pylist())


def names(folder, user):
    """Files that hold a user's id, looked for in their bytes and in their rows."""
    found = [path for path in folder.rglob("*") if path.is_file() and user.encode() in path.read_bytes()]
    tables = [path for path in folder.rglob("*.parquet") if user in users(pa.parquet.read_table(path))]
    return [*found, *tables]


def test_a_forgotten_user_stands_in_no_file_and_the_others_stay(tmp_path):
    log = EventLog(tmp_path)
    log.append(pa.concat_tables([events("anna", 0, 30, 60), events("bert", 1, 31)]))
    log.compact()
    log.append(pa.concat_tables([events("anna", 2, 90), events("carl", 3)]))
    before = log.read(received=True)
    other = EventLog(tmp_path)
    assert len(other.ids()) == 8
    assert log.forget(["anna"]) == 5
    kept = before.filter(pa.compute.not_equal(before["user_id"], "anna"))
    for reader in (log, other, EventLog(tmp_path)):
        assert reader.read(received=True) == kept
        assert len(reader) == 3
        assert not any(one.startswith("anna") for one in reader.ids())
    assert names(tmp_path, "anna") == []
    assert log.forget(["anna"]) == 0
    assert EventLog(tmp_path).read(received=True) == kept


def test_what_was_told_before_is_not_taken_in_again_but_what_comes_after_is(tmp_path):
    log = EventLog(tmp_path)
    log.append(events("anna", 0))
    log.forget(["anna"])
    for one in (log, EventLog(tmp_path)):
        assert one.append(pa.concat_tables([events("anna", 0, 1), events("bert", 0)])).duplicates >= 2
    assert log.append(events("anna", 7, at=datetime.now(UTC))) == Appended(accepted=1, duplicates=0)
    assert sorted(log.ids()) == ["anna.7", "bert.0"]


@given(
    batches=st.lists(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 99)), max_size=6), max_size=5),
    forgotten=st.lists(st.sets(st.sampled_from("abcd")), max_size=3),
    compacted=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_the_log_is_what_a_list_without_these_users_is(tmp_path_factory, batches, forgotten, compacted):
    log = EventLog(tmp_path_factory.mktemp("log"))
    want: set[str] = set()
    for place, batch in enumerate(batches):
        gone = set().union(*forgotten[:place])
        log.append(pa.concat_tables([schema.EVENTS.empty_table(), *(events(user, n) for user, n in batch)]))
        want |= {f"{user}.{n}" for user, n in batch if user not in gone}
        if compacted[place]:
            log.compact()
        if place < len(forgotten):
            log.forget(sorted(forgotten[place]))
            want = {one for one in want if one[0] not in forgotten[place]}
    assert log.ids() == want == set(EventLog(log.folder).read()["event_id"].to_pylist())


def test_a_torn_frame_of_a_killed_writer_is_erased_too(tmp_path):
    log = EventLog(tmp_path)
    log.append(events("bert", 0))
    with (tmp_path / "wal.log").open("ab") as file:
        file.write(write_ahead._frame(events("anna", 0))[:-3])
    (tmp_path / "day=2024-02-29").mkdir()
    (tmp_path / "day=2024-02-29" / "00000000-x.parquet.tmp").write_bytes(b"anna")
    assert len(names(tmp_path, "anna")) == 2
    EventLog(tmp_path).forget(["anna"])
    assert names(tmp_path, "anna") == []
    assert users(EventLog(tmp_path).read()) == {"bert"}


def test_readers_beside_it_see_all_of_a_user_or_nothing(tmp_path):
    log, faults, done = EventLog(tmp_path), [], threading.Event()
    everybody = [f"user{n}" for n in range(12)]
    for user in everybody:
        log.append(events(user, *range(0, 200, 10)))
    log.compact()

    def reads():
        reader = EventLog(tmp_path)
        while not done.is_set():
            counts = reader.read()["user_id"].value_counts().to_pylist()
            faults.extend(one for one in counts if one["counts"] != 20)

    threads = [threading.Thread(target=reads) for _ in range(2)]
    for thread in threads:
        thread.start()
    for user in everybody[:8]:
        log.forget([user])
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert users(log.read()) == set(everybody[8:])


_FORGET = """
import sys
from pathlib import Path
from feature_repo.event_log import EventLog
log = EventLog(Path(sys.argv[1]))
print("starts", flush=True)
log.forget(["anna"])
"""


def test_a_second_run_ends_what_was_killed(tmp_path):
    draw, cut_off = random.Random(0), 0
    for attempt in range(6):
        folder = tmp_path / str(attempt)
        log = EventLog(folder)
        log.append(pa.concat_tables([events("anna", *range(0, 4000, 5)), events("bert", *range(0, 4000, 7))]))
        log.compact()
        root = Path(__file__).parents[2]
        arguments = [sys.executable, "-c", _FORGET, str(folder)]
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, cwd=root, env={**os.environ})
        process.stdout.readline()
        time.sleep(draw.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        counts = {one["values"]: one["counts"] for one in EventLog(folder).read()["user_id"].value_counts().to_pylist()}
        assert counts["bert"] == len(range(0, 4000, 7))
        assert counts.get("anna", 800) == 800  # all or nothing, whenever it was killed
        cut_off += "anna" in counts
        EventLog(folder).forget(["anna"])
        assert names(folder, "anna") == []
        assert users(EventLog(folder).read()) == {"bert"}
    assert cut_off
