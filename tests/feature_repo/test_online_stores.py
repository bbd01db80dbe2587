"""Feast's stock Redis and Postgres stores on real servers, held against the default store value by value."""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import pyarrow as pa
import pytest
import yaml
from feast import FeatureService

from feature_repo import compute, schema
from feature_repo.address import address
from feature_repo.asked import Asked
from feature_repo.configuration import FILES, REPO, feast_config, location
from feature_repo.errors import SettingsError, StoreUnavailableError
from feature_repo.feast_json import as_json
from feature_repo.forgotten_features import forget_features
from feature_repo.lookup import NOT_FOUND, PRESENT, look_up
from feature_repo.online import missing
from feature_repo.settings import OnlineStore, Settings, load_settings
from feature_repo.store import Store
from feature_repo.views import TASTE_EXPIRES

START = datetime(2024, 1, 1, tzinfo=UTC)
NOW = START + timedelta(days=40)
USERS = ["u", "v", "w"]
PASSWORD = "s3cret: \"'#$@/"  # what a URL, YAML, JSON or a shell would read otherwise
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]


class Server(Protocol):
    """A server of a test's own on loopback."""

    store: OnlineStore
    port: int
    database: str

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it at once."""


class Redis:
    """`redis-server`, in memory only."""

    store = OnlineStore.REDIS
    database = "0"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self.command += ["--save", "", "--requirepass", PASSWORD]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_for(self.port)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Postgres:
    """A cluster of its own; it refuses to run as root, so then it runs as Debian's user for it."""

    store = OnlineStore.POSTGRES
    database = "features"

    def __init__(self, folder: Path, programs: Path) -> None:
        self.port, self.programs, self.data = free_port(), programs, folder / "data"
        self.user = "postgres" if os.geteuid() == 0 else None
        secret = folder / "password"
        secret.write_text(PASSWORD)
        if self.user:
            shutil.chown(folder, self.user)
            shutil.chown(secret, self.user)
        options = ["--username=trichord", f"--pwfile={secret}", "--auth=scram-sha-256", "--no-sync", "--encoding=UTF8"]
        self._run("initdb", "--pgdata", str(self.data), *options)

    def start(self) -> None:
        where = ["-D", str(self.data), "-h", "127.0.0.1", "-p", str(self.port), "-k", "", "-c", "fsync=off"]
        self.process = subprocess.Popen(
            [self.programs / "postgres", *where], stderr=subprocess.DEVNULL, user=self.user, cwd=self.data.parent
        )
        wait_for(self.port)
        ready = [self.programs / "pg_isready", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(ready, stdout=subprocess.DEVNULL, check=False).returncode:
            time.sleep(0.05)
        self._create_database()

    def stop(self) -> None:
        self.process.send_signal(3)  # SIGQUIT: at once, its children with it
        self.process.wait()

    def _create_database(self) -> None:
        import psycopg
        from psycopg.errors import DuplicateDatabase

        with (
            psycopg.connect(
                host="127.0.0.1", port=self.port, user="trichord", password=PASSWORD, dbname="postgres", autocommit=True
            ) as connection,
            contextlib.suppress(DuplicateDatabase),
        ):  # started again
            connection.execute(f"create database {self.database}")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.programs / program, *arguments],
            user=self.user,
            cwd=self.data.parent,
            stdout=subprocess.DEVNULL,
            check=True,
        )


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    for _ in range(400):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after 20 s")


def url_of(server: Server, password: str = PASSWORD) -> str:
    user = {OnlineStore.REDIS: "", OnlineStore.POSTGRES: "trichord"}[server.store]
    scheme = {OnlineStore.REDIS: "redis", OnlineStore.POSTGRES: "postgresql"}[server.store]
    return f"{scheme}://{user}:{quote(password, safe='')}@127.0.0.1:{server.port}/{server.database}"


def settings_of(server: Server, home: Path, password: str = PASSWORD) -> Settings:
    return Settings(home=home, online_store=server.store, online_url=url_of(server, password))


@pytest.fixture(scope="module", params=["redis", "postgres"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="trichord-"))  # not below pytest's own, which another user may not enter
    made: Redis | Postgres
    try:
        if request.param == "redis":
            if not shutil.which("redis-server"):
                pytest.skip("redis-server is not installed: apt-get install redis-server")
            made = Redis(folder)
        else:
            installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
            if not installed:
                pytest.skip("PostgreSQL's server is not installed: apt-get install postgresql")
            made = Postgres(folder, installed[-1].parent)
        made.start()
        yield made
        made.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def events(make_events: Events) -> pa.Table:
    draw = random.Random(4)
    return make_events(
        [
            (
                draw.choice(USERS),
                draw.choice("abcd"),
                draw.uniform(0, 24 * 39),
                {
                    "weight": draw.choice([0.0, 1.0, 2.0]),
                    "positive": draw.random() < 0.5,
                    "value": draw.choice([None, 0.1, 4.5]),
                    "device": draw.choice([None, "tv", "phone"]),
                    "place": draw.choice([None, "home", "café"]),
                },
            )
            for _ in range(60)
        ]
    )


def fill(store: Store, events: pa.Table, items: pa.Table) -> Store:
    """All views offline, and online up to NOW; one user's vectors pushed after that."""
    store.apply()
    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, events, items, until=NOW), written_at=NOW)
    store.write_view("item_content", compute.content_rows(items), written_at=NOW)
    store.materialize(NOW)
    store.push("user_vectors", vectors("u"), written_at=NOW)
    return store


def vectors(user: str) -> pa.Table:
    vector = [place / 7 for place in range(128)]
    return pa.table({"user_id": [user], "event_timestamp": pa.array([NOW], schema.TIMESTAMP), "user_vector": [vector]})


@pytest.fixture(scope="module")
def stock(server: Server, events: pa.Table, items: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The default store, anew for each server."""
    return fill(Store(Settings(home=tmp_path_factory.mktemp("stock"))), events, items)


@pytest.fixture(scope="module")
def served(server: Server, events: pa.Table, items: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return fill(Store(settings_of(server, tmp_path_factory.mktemp("served"))), events, items)


def test_what_is_materialized_reads_as_from_the_default_store(served: Store, stock: Store) -> None:
    ids = ["c", "a", "nothing", "d", "b", "a"]
    for user in [*USERS, "nobody"]:
        ours, theirs = (one.online_frame(user, ids, at=NOW, device="tv", place="café") for one in (served, stock))
        assert ours == theirs
        assert missing(ours) == missing(theirs)
        assert missing(ours)["item_id"] == ["nothing"]
    ours, theirs = (
        one.online_rows({"user_id": [*USERS, "x"]}, at=NOW, service="retrieval_v1") for one in (served, stock)
    )
    assert ours == theirs
    assert ours["user_vector"].null_count == 3
    assert ours["affinity_categories"].null_count == 1


def test_a_look_up_is_answered_as_from_the_default_store(served: Store, stock: Store) -> None:
    users, items = [*USERS, "nobody", "u"], ["a", "d", "nothing", "b", "a"]
    for asked in (Asked("retrieval_v1"), Asked("ranking_v1"), Asked()):
        entities = {"user_id": users, "item_id": items}
        ours, theirs = (as_json(look_up(one, entities, asked, at=NOW)) for one in (served, stock))
        assert ours == theirs


def test_a_push_is_seen_by_the_next_read_as_in_the_default_store(
    served: Store, stock: Store, make_events: Events, events: pa.Table, items: pa.Table
) -> None:
    at = NOW + timedelta(hours=2)
    new = pa.concat_tables([events, make_events([("u", "d", 24 * 40 + 1, {"device": "tv"})])])
    before = served.online_frame("u", ["d"], at=at)
    for one in (served, stock):
        one.refresh(new, items, at=at, users=["u"], item_ids=["d"])
    ours, theirs = (one.online_frame("u", ["d", "a"], at=at) for one in (served, stock))
    assert ours == theirs
    assert ours["user_interactions"][0].as_py() == before["user_interactions"][0].as_py() + 1


def test_a_corrected_row_of_the_same_moment_is_written(
    served: Store, make_items: Callable[[dict[str, list[str]]], pa.Table]
) -> None:
    row = compute.content_rows(make_items({"d": ["new"]}))
    assert row["event_timestamp"].to_pylist() == [START]  # as before
    served.push("item_content", row)
    asked = Asked(features=("item_content:categories",))
    _, found = look_up(served, {"item_id": ["d", "nothing"]}, asked, at=NOW)
    assert found.columns["categories"].to_pylist() == [["new"], None]
    assert found.statuses.tolist() == [PRESENT, NOT_FOUND]


def test_a_row_expires_at_the_same_microsecond_as_in_the_default_store(
    served: Store, stock: Store, make_events: Events, items: pa.Table
) -> None:
    moment = NOW + timedelta(microseconds=500_001)
    tastes = compute.rows_at(make_events([("late", "a", 24 * 40, {})]), items, at=moment, users=["late"])
    for one in (served, stock):
        one.push("user_item_affinity", tastes["user_item_affinity"])
    for edge, expired in ((-1, False), (0, False), (1, True)):
        at = moment + TASTE_EXPIRES + timedelta(microseconds=edge)
        ours, theirs = (
            one.online_rows({"user_id": ["late"]}, at=at, service="retrieval_v1") for one in (served, stock)
        )
        assert ours == theirs
        assert ours["affinity_weights"].null_count == expired


def held(server: Server, user: str) -> int:
    """Keys or rows on the server that name a user, seen by its own client."""
    if server.store is OnlineStore.REDIS:
        import redis

        with redis.Redis(port=server.port, password=PASSWORD) as client:
            return len(list(client.scan_iter(f"*{user}*")))
    import psycopg

    where = {"host": "127.0.0.1", "port": server.port, "user": "trichord", "password": PASSWORD}
    with psycopg.connect(**where, dbname=server.database) as connection:
        tables = connection.execute(
            "select table_name from information_schema.columns where column_name = 'entity_key'"
        )
        count = 'select count(*) from "{}" where position(%s::bytea in entity_key) > 0'
        counts = [connection.execute(count.format(one), [user.encode()]).fetchone() for (one,) in tables.fetchall()]
        return sum(one[0] for one in counts if one)


def test_a_forgotten_user_leaves_the_server_and_nobody_else(
    server: Server, make_events: Events, items: pa.Table, tmp_path: Path
) -> None:
    log = make_events([("erased", "a", 1, {}), ("spared", "b", 2, {})])
    store = Store(settings_of(server, tmp_path))
    assert not any(forget_features(store, ["erased"], erase=False).values())
    store.apply()
    for view in ("user_activity", "user_item_affinity"):
        store.write_view(view, compute.view_rows(view, log, items, until=NOW), written_at=NOW)
    store.materialize(NOW, views=["user_activity", "user_item_affinity"])
    store.push("user_vectors", vectors("erased"), written_at=NOW)
    before = store.online_rows({"user_id": ["spared"]}, at=NOW, service="retrieval_v1")
    views = ("user_activity", "user_item_affinity")
    counted = {view: store.read_view(view)["user_id"].to_pylist().count("erased") for view in views}
    counted |= {f"{view} online": 1 for view in ("user_activity", "user_item_affinity", "user_vectors")}
    assert forget_features(store, ["erased", "nobody"], erase=False) == counted
    assert held(server, "erased")
    store.delete("user_vectors", ["erased"])  # of one view alone
    rows = store.online_rows({"user_id": ["erased"]}, at=NOW, service="retrieval_v1")
    assert (rows["user_vector"].null_count, rows["user_interactions"].null_count) == (1, 0)
    assert forget_features(store, ["erased", "nobody"]) == counted | {"user_vectors online": 0}
    assert not held(server, "erased")
    assert held(server, "spared")
    asked = store.online_rows({"user_id": ["spared", "erased"]}, at=NOW, service="retrieval_v1")
    assert missing(asked)["user_id"] == ["erased"]
    assert asked.slice(0, 1).replace_schema_metadata() == before.replace_schema_metadata()
    assert not any(forget_features(store, ["erased"]).values())


def content(item: str, categories: list[str]) -> pa.Table:
    one = {"item_id": item, "title": item, "categories": categories, "created_at": START}
    return compute.content_rows(pa.Table.from_pylist([one], schema.ITEMS))


def categories(store: Store, *items: str) -> list[object]:
    asked = store.online_frame("u", items, at=NOW, service="content")
    found: list[object] = asked["categories"].to_pylist()
    return found


def materialized(settings: Settings, items: pa.Table) -> Store:
    """A store of items alone, and a service of their content."""
    store = Store(settings)
    store.apply()
    views = {view.name: view for view in store.feast.list_feature_views()}
    store.feast.apply([FeatureService(name="content", features=[views["item_content"]])])
    store.write_view("item_content", compute.content_rows(items), written_at=NOW)
    store.materialize(NOW, views=["item_content"])
    return store


def write_as_feast(store: Store, rows: pa.Table) -> None:
    """Write rows of a view as a program does that knows nothing of this platform."""
    stamped = rows.append_column("created_timestamp", rows["event_timestamp"])
    store.feast.write_to_online_store("item_content", stamped.to_pandas())


def test_items_that_are_not_pushed_are_read_from_a_snapshot(server: Server, items: pa.Table, tmp_path: Path) -> None:
    store = materialized(settings_of(server, tmp_path / "one"), items)
    assert categories(store, "b", "a", "nothing", "d") == [["x", "y"], ["x"], None, []]
    write_as_feast(store, content("a", ["unnoticed"]))
    assert categories(store, "a") == [["x"]]
    write_as_feast(store, content("new", ["found"]))  # not in the snapshot
    frame = store.online_frame("u", ["b", "new", "nothing", "a"], at=NOW, service="content")
    assert frame["categories"].to_pylist() == [["x", "y"], ["found"], None, ["x"]]
    assert missing(frame) == {"item_id": ["nothing"]}
    store.materialize(NOW, views=["item_content"])
    assert categories(store, "a") == [["x"]]


def test_what_any_home_writes_is_seen_by_the_next_read(server: Server, items: pa.Table, tmp_path: Path) -> None:
    ours, theirs = (materialized(settings_of(server, tmp_path / home), items) for home in ("ours", "theirs"))
    assert categories(ours, "a") == categories(theirs, "a") == [["x"]]
    theirs.push("item_content", content("a", ["pushed"]))
    assert categories(ours, "a") == categories(theirs, "a") == [["pushed"]]
    theirs.write_view("item_content", content("a", ["materialized"]), written_at=NOW)
    theirs.materialize(NOW, views=["item_content"])
    assert categories(ours, "a") == categories(theirs, "a") == [["materialized"]]
    assert categories(ours, "b") == [["x", "y"]]  # not in their snapshot


def test_a_damaged_snapshot_leaves_the_server(
    server: Server, items: pa.Table, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = materialized(settings_of(server, tmp_path), items)
    [file] = (tmp_path / "snapshots").iterdir()
    file.write_bytes(file.read_bytes()[:-8])
    assert categories(store, "a") == categories(store, "a") == [["x"]]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "snapshot of view item_content cannot be read" in caplog.text


def test_feasts_own_command_registers_with_the_same_file(server: Server, tmp_path: Path) -> None:
    config = feast_config(settings_of(server, tmp_path)).online_store
    if server.store is OnlineStore.REDIS:
        names = {"TRICHORD_REDIS": f"127.0.0.1:{server.port},password=other"}
    else:
        password = "'" + PASSWORD.replace("'", "''") + "'"  # what YAML takes
        parts = ("host", "port", "database", "user", "sslmode")
        names = {f"TRICHORD_POSTGRES_{part.upper()}": str(getattr(config, part)) for part in parts}
        names["TRICHORD_POSTGRES_PASSWORD"] = password
    done = subprocess.run(
        [Path(sys.executable).parent / "feast", "-c", REPO, "-f", FILES[server.store], "apply"],
        env={**os.environ, "TRICHORD_HOME": str(tmp_path), **names},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    store = Store(settings_of(server, tmp_path))
    store.push("user_vectors", vectors("shell"))
    assert missing(store.online_rows({"user_id": ["shell"]}, at=NOW, service="retrieval_v1"))["user_id"] == []


def test_a_server_that_went_away_is_named_and_found_again(
    server: Server, served: Store, events: pa.Table, items: pa.Table
) -> None:
    served.online_frame("u", ["a"], at=NOW)
    server.stop()
    named = rf"{server.store} at 127.0.0.1:{server.port}/{server.database}, does not answer .*TRICHORD_ONLINE_URL"
    for ask in (
        lambda: served.online_frame("u", ["a"], at=NOW),
        lambda: served.online_frame("u", ["a"], at=NOW),
        lambda: served.push("user_vectors", vectors("u")),
        lambda: served.materialize(NOW, views=["item_content"]),
    ):
        with pytest.raises(StoreUnavailableError, match=named) as caught:
            ask()
        assert "s3cret" not in str(caught.value)
    server.start()
    fill(served, events, items)
    assert missing(served.online_frame("u", ["a"], at=NOW)) == {"user_id": [], "item_id": []}


def test_a_server_that_is_away_is_named_when_somebody_is_forgotten(
    server: Server, make_events: Events, items: pa.Table, tmp_path: Path
) -> None:
    store = Store(settings_of(server, tmp_path))
    store.write_view("user_activity", compute.view_rows("user_activity", make_events([("left", "a", 1, {})]), items))
    server.stop()
    with pytest.raises(StoreUnavailableError, match=f"{server.store} at .*does not answer"):
        forget_features(store, ["left"])
    assert not len(store.read_view("user_activity"))
    server.start()
    assert not any(forget_features(store, ["left"]).values())


def test_a_wrong_password_is_refused_and_not_shown(server: Server, tmp_path: Path) -> None:
    store = Store(settings_of(server, tmp_path, password="wr0ng"))
    with pytest.raises(StoreUnavailableError, match="password") as caught:
        store.push("user_vectors", vectors("u"))
    assert "wr0ng" not in str(caught.value)
    assert "wr0ng" not in repr(store.settings)


def test_files_of_the_stores_differ_in_nothing_else() -> None:
    parsed = {store: yaml.safe_load(path.read_text()) for store, path in FILES.items()}
    assert set(FILES) == set(OnlineStore)
    assert FILES[Settings().online_store].name == "feature_store.yaml"
    for one in parsed.values():
        del one["online_store"]
    assert all(one == parsed[OnlineStore.SQLITE] for one in parsed.values())


@pytest.mark.parametrize(
    ("store", "url", "named"),
    [
        ("redis", None, "'redis' needs online_url, which is not set; accepted is redis://"),
        ("postgres", "", "'postgres' needs online_url, which is not set; accepted is postgresql://"),
        ("redis", "postgresql://u:hidden@h/d", "scheme 'postgresql' is incomplete or of another store"),
        ("postgres", "postgresql://u:hidden@h", "incomplete"),
        ("postgres", "postgresql://u:hidden@h:port/d", "host or port cannot be read"),
        ("redis", "redis://:hid,den@h", "no comma in user or password"),
        ("redis", "redis://[::1", "host or port cannot be read"),
        ("redis", "redis://[::1]", "no IPv6 host"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_without_being_shown(
    tmp_path: Path, store: str, url: str | None, named: str
) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        feast_config(Settings(home=tmp_path, online_store=store, online_url=url))
    assert "hid" not in str(caught.value)


def test_a_local_postgres_is_asked_without_tls_and_a_remote_one_with_it(tmp_path: Path) -> None:
    def sslmode(url: str) -> str:
        found = address(Settings(home=tmp_path, online_store="postgres", online_url=url))
        assert found is not None
        return found.sslmode

    assert sslmode("postgresql://u:p@localhost/d") == sslmode("postgresql://u:p@127.0.0.1/d") == "disable"
    assert sslmode("postgresql://u:p@db.example/d") == "require"
    assert sslmode("postgresql://u:p@db.example/d?sslmode=verify-full") == "verify-full"


def test_settings_come_from_variables_and_never_print_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trichord.toml").write_text('online_store = "postgres"\nonline_url = "redis://:s3cret@h:1/2"\n')
    monkeypatch.setenv("TRICHORD_ONLINE_STORE", "redis")
    settings = load_settings(tmp_path)
    assert location(settings) == "redis at h:1/2"
    assert "s3cret" not in repr(settings) + str(settings) + repr(address(settings))
    monkeypatch.setenv("TRICHORD_ONLINE_STORE", "oracle")
    with pytest.raises(SettingsError, match=r"online_store 'oracle': .*'packed'.* or 'postgres'"):
        load_settings(tmp_path)
    monkeypatch.setenv("TRICHORD_ONLINE_STORE", "redis")
    wrongs = {"online_url": "[online_url]\ns3cret = 1\n", "setting online_ur:": 'online_ur = "s3cret"\n'}
    for named, wrong in wrongs.items():
        Path("trichord.toml").write_text(wrong)
        with pytest.raises(SettingsError, match=named) as caught:
            load_settings(tmp_path)
        assert "s3cret" not in str(caught.value)
