"""`trichord forget`: nothing of the home names the user afterwards, and everything else works as before."""

import json
import shutil
import signal
import time

import duckdb
import pyarrow.parquet as pq
import pytest

from feature_repo.compute import TICK
from feature_repo.event_log import EventLog
from feature_repo.forgotten_features import forget_features
from feature_repo.settings import Sampling, Settings
from feature_repo.store import Store
from ranking.serving.engine import Engine
from ranking.serving.payloads import Request
from ranking.serving.releases import Releases


@pytest.fixture(scope="session")
def asked(home):
    """Two users whom the evaluation asked for, too."""
    with duckdb.connect(home / "warehouse.duckdb", read_only=True) as db:
        return [one for (one,) in db.execute("select distinct user_id from rankings order by all limit 2").fetchall()]


@pytest.fixture
def user(asked):
    return asked[0]


@pytest.fixture
def other(asked):
    return asked[1]


@pytest.fixture
def copied(home, tmp_path, user, other):
    """A copy of the home that a test may change, with vectors that were served and an event of the user's."""
    folder = shutil.copytree(home, tmp_path / "home", symlinks=True)
    engine = Engine(Settings(home=folder, served=Sampling(share=1.0)))
    engine.load()
    for one in (user, other):
        engine.recommend(Request(user_id=one))
    item = engine.loaded.catalogue.index.ids[0]
    engine.accept([{"user_id": user, "item_id": item, "kind": "click", "event_id": f"{user}-new"}])
    engine.served.flush()
    return folder


def naming(folder, user):
    """Files that hold an id, looked for in their bytes and in the values of their tables."""
    found = {path for path in folder.rglob("*") if path.is_file() and user.encode() in path.read_bytes()}
    for path in folder.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if any(user in str(table[name].unique().to_pylist()) for name in table.column_names if name.endswith("_id")):
            found.add(path)
    with duckdb.connect(folder / "warehouse.duckdb", read_only=True) as db:
        for (table,) in db.execute("select table_name from duckdb_tables()").fetchall():
            if user in str(db.table(table).to_arrow_table().to_pydict()):
                found.add(folder / "warehouse.duckdb")
    return sorted(str(path.relative_to(folder)) for path in found)


def test_no_file_of_the_home_names_a_forgotten_user(copied, trichord, user, other):
    settings = Settings(home=copied)
    events, others = len(EventLog(settings.events)), len(EventLog(settings.events).read(users=[other]))
    mine = len(EventLog(settings.events).read(users=[user]))
    assert len({one.partition("/")[0] for one in naming(copied, user)}) >= 6
    planned = json.loads(trichord("forget", user, "--dry-run", "--json", "--home", str(copied)).stdout)
    assert planned["dry_run"]
    assert planned["erased"]["event log"] == mine
    assert planned["erased"]["served vectors"] > 0
    assert len(EventLog(settings.events)) == events
    done = trichord.anew("forget", user, "--json", "--home", str(copied))
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == planned | {"dry_run": False}
    assert naming(copied, user) == []
    assert naming(copied, other)
    assert len(EventLog(settings.events)) == events - mine
    assert len(EventLog(settings.events).read(users=[other])) == others
    again = json.loads(trichord("forget", user, "--json", "--home", str(copied)).stdout)
    assert not any(again["erased"].values())
    Releases.of(settings).current().verify()
    assert trichord("recommend", other, "--home", str(copied)).returncode == 0
    unknown = trichord("recommend", user, "--home", str(copied))
    assert unknown.returncode == 2
    assert "nothing is known of them" in unknown.stderr
    assert trichord("evaluate", "--json", "--home", str(copied)).returncode == 0


def test_rows_in_a_stock_online_store_are_counted_and_erased(copied, trichord, user, other, monkeypatch):
    shutil.rmtree(copied / "online")  # of the store that the home had before
    monkeypatch.setenv("TRICHORD_ONLINE_STORE", "sqlite")
    store = Store(Settings(home=copied, online_store="sqlite"))
    store.apply()
    store.materialize(EventLog(copied / "events").last_occurred_at() + TICK)
    assert "online.db" in naming(copied, user)
    planned = json.loads(trichord("forget", user, "--dry-run", "--json", "--home", str(copied)).stdout)
    assert planned["erased"]["view user_activity online"] == planned["erased"]["view user_vectors online"] == 1
    done = trichord("forget", user, "--json", "--home", str(copied))
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == planned | {"dry_run": False}
    assert naming(copied, user) == []
    assert "online.db" in naming(copied, other)


def test_the_next_run_does_not_bring_a_forgotten_user_back(copied, trichord, user, other):
    trichord("forget", user, "--home", str(copied))
    ran = trichord("run", "--home", str(copied))
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert naming(copied, user) == []


def test_a_second_run_ends_what_was_killed(copied, trichord, user, other):
    for wait in (6.0, 7.5, 9.0):
        process = trichord.start("forget", user, "--home", str(copied))
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert trichord("forget", user, "--home", str(copied)).returncode == 0
    assert naming(copied, user) == []
    Releases.of(Settings(home=copied)).current().verify()
    engine = Engine(Settings(home=copied))
    engine.load()
    assert len(engine.recommend(Request(user_id=other)).items) == 10


def test_rows_of_others_are_the_same_online(copied, user, other):
    store, items = Store(Settings(home=copied)), ["i00000", "i00001"]
    at = EventLog(copied / "events").last_occurred_at()
    before = store.online_frame(other, items, at=at)
    assert store.online_frame(user, items, at=at)["user_interactions"].null_count == 0
    forget_features(store, [user])
    assert store.online_frame(other, items, at=at) == before
    assert Store(Settings(home=copied)).online_frame(user, items, at=at)["user_interactions"].null_count == 2


def test_somebody_who_holds_the_home_is_waited_for_by_hand(copied, trichord, user, other):
    from pipelines.home import Home

    with Home(Settings(home=copied)).lock():
        refused = trichord("forget", user, "--home", str(copied))
    assert refused.returncode == 2
    assert "in use by another run" in refused.stderr
