from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from feast import FeatureService

from feature_repo import compute, schema
from feature_repo.columns import table_of
from feature_repo.configuration import REPO
from feature_repo.errors import StoreError
from feature_repo.forgotten_features import forget_features
from feature_repo.online import Ids, Request, missing
from feature_repo.settings import Settings
from feature_repo.sources import push_name
from feature_repo.store import Store
from feature_repo.stores.packed import as_of
from feature_repo.stores.packed_keys import KnownIds, SomeIds

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
Row = tuple[str, str, float, dict[str, object]]
Events = Callable[[Sequence[Row]], pa.Table]

LOG: list[Row] = [
    ("u", "a", 0, {"value": 4.0, "device": "tv"}),
    ("u", "b", 1, {"positive": False}),
    ("v", "a", 30, {"place": "home"}),
    ("v", "c", 24 * 8, {"weight": 0.0, "positive": False}),
    ("u", "c", 24 * 9, {"device": "phone"}),
]
NOW = START + 10 * DAY


@pytest.fixture(scope="module")
def events(make_events: Events) -> pa.Table:
    return make_events(LOG)


@pytest.fixture(scope="module")
def filled(store: Store, events: pa.Table, items: pa.Table) -> Store:
    """The store with LOG's rows offline and, up to NOW, online."""
    for view in compute.BEHAVIOUR:
        store.write_view(view, compute.view_rows(view, events, items, until=START + 900 * DAY))
    store.write_view("item_content", compute.content_rows(items))
    store.materialize(NOW)
    return store


def requests(rows: Sequence[tuple[str, str, datetime]], **further: object) -> pa.Table:
    user, item, moment = ([row[place] for row in rows] for place in range(3))
    moments = pa.array(moment, schema.TIMESTAMP)
    nothing = pa.nulls(len(rows), pa.string())
    request = {"event_timestamp": moments, "requested_at": moments, "device": nothing, "place": nothing}
    return pa.table({"user_id": user, "item_id": item, **request, **further})


def test_rows_keep_their_order_their_number_and_their_columns(filled: Store) -> None:
    rows = [("v", "c", NOW), ("u", "a", NOW), ("u", "a", NOW), ("u", "a", START + HOUR), ("v", "a", NOW)]
    asked = requests(rows, label=[1, 2, 3, 4, 5], query=pa.array([[7], [], None, [8], [9]], pa.list_(pa.int64())))
    frame = filled.training_frame(asked)
    assert frame.select(asked.column_names) == asked
    assert frame.column_names == [*asked.column_names, *filled.feature_columns("ranking_v1").names]
    assert frame["user_interactions"].to_pylist() == [1, 3, 3, 1, 1]
    assert frame["item_interactions"].to_pylist() == [1, 2, 2, 1, 2]
    since_v = 8.75 * 86400  # v chose a at hour 30
    assert frame["item_idle_s"].to_pylist() == [86400.0, since_v, since_v, 3600.0, since_v]


def test_an_offline_store_may_answer_in_any_order(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests([("v", "c", NOW), ("u", "a", NOW), ("u", "a", START + HOUR)])
    in_order = filled.training_frame(asked)
    join = filled.feast.get_historical_features

    def backwards(*arguments: object) -> object:
        job = join(*arguments)
        answered = job.to_arrow()
        monkeypatch.setattr(job, "to_arrow", lambda: answered.take(list(range(len(answered)))[::-1]))
        return job

    monkeypatch.setattr(filled.feast, "get_historical_features", backwards)
    assert filled.training_frame(asked) == in_order


def test_hour_and_weekday_are_the_requests_while_features_are_as_of_their_moment(filled: Store) -> None:
    asked = requests([("u", "a", START + HOUR)])
    later = pa.array([NOW + 5 * HOUR], schema.TIMESTAMP)
    frame = filled.training_frame(asked.set_column(3, "requested_at", later)).to_pylist()[0]
    assert (frame["context_hour"], frame["context_weekday"]) == (5, NOW.weekday())
    assert (frame["user_interactions"], frame["user_idle_s"]) == (1, 3600.0)
    online = filled.online_frame("u", ["a"], at=NOW, requested_at=NOW + 5 * HOUR).to_pylist()[0]
    assert (online["context_hour"], online["user_idle_s"]) == (5, 86400.0)


def test_unknown_entities_have_nulls_offline_and_are_named_online(filled: Store) -> None:
    frame = filled.training_frame(requests([("nobody", "nothing", NOW)])).to_pylist()[0]
    online = filled.online_frame("nobody", ["nothing", "a"], at=NOW)
    assert missing(online) == {"user_id": ["nobody"], "item_id": ["nothing"]}
    for name in ("user_interactions", "item_interactions", "has_text", "category_affinity", "item_age_s"):
        assert frame[name] is None
        assert online[name][0].as_py() is None
    assert online["item_interactions"].to_pylist() == [None, 2]
    assert missing(filled.online_frame("u", ["a"], at=NOW)) == {"user_id": [], "item_id": []}
    assert len(filled.online_frame("u", [], at=NOW)) == 0
    assert missing(filled.online_frame("", ["a"], at=NOW))["user_id"] == [""]  # an anonymous user


def test_what_is_materialized_is_what_was_known_then(filled: Store) -> None:
    items = ["c", "a", "d", "a"]
    online = filled.online_frame("u", items, at=NOW, device="tv")
    asked = requests([("u", item, NOW) for item in items]).set_column(4, "device", pa.array(["tv"] * 4))
    offline = filled.training_frame(asked)
    names = filled.feature_columns("ranking_v1").names
    assert online.select(names).replace_schema_metadata() == offline.select(names)
    assert online["item_id"].to_pylist() == items


def test_the_columns_of_a_request_are_those_of_its_frame(filled: Store) -> None:
    frame = filled.online_frame("u", ["c", "a", "d", "a"], at=NOW, requested_at=NOW + HOUR, device="tv")
    asked = Request(NOW, NOW + HOUR, "tv", None)
    columns = filled.online_columns("u", Ids.of(["c", "a", "d", "a"]), asked)
    assert [*columns] == filled.feature_columns("ranking_v1").names
    assert table_of(columns) == frame.select([*columns]).replace_schema_metadata()


def test_known_items_have_the_columns_of_any(filled: Store) -> None:
    catalogue, places, asked = pa.array(["a", "b", "c", "d"]), np.array([2, 0, 3]), Request(NOW, NOW, "tv", None)
    known, ids = KnownIds(catalogue), catalogue.take(pa.array(places))
    for _ in range(2):
        columns = filled.online_columns("u", Ids(ids, None, SomeIds(known, places)), asked)
        assert table_of(columns) == table_of(filled.online_columns("u", Ids.of(ids), asked))


def test_feast_itself_answers_the_same_online(filled: Store) -> None:
    moment = pa.scalar(NOW, schema.TIMESTAMP).cast(pa.int64()).as_py()
    request = {"as_of": [moment] * 2, "requested_at": [moment] * 2, "device": ["tv"] * 2, "place": ["home"] * 2}
    service = filled.feast.get_feature_service("ranking_v1")
    with as_of(NOW):  # whose age counts for the ttl of tastes
        theirs = filled.feast.get_online_features(service, {"user_id": ["u"] * 2, "item_id": ["a", "c"], **request})
    ours = filled.online_frame("u", ["a", "c"], at=NOW, device="tv", place="home")
    answer = theirs.to_dict()
    for name in filled.feature_columns("ranking_v1").names:
        assert answer[name] == ours[name].to_pylist(), name


def test_a_pushed_event_is_seen_by_the_next_request(filled: Store, make_events: Events, items: pa.Table) -> None:
    at = NOW + 2 * HOUR
    before = filled.online_frame("w", ["d"], at=at)
    filled.refresh(make_events([("w", "d", 24 * 10 + 1, {})]), items, at=at, users=["w"], item_ids=["d"])
    after = filled.online_frame("w", ["d"], at=at)
    assert before["user_interactions_1d"].to_pylist() == before["item_interactions_1d"].to_pylist() == [None]
    assert after["user_interactions_1d"].to_pylist() == after["item_interactions_1d"].to_pylist() == [1]
    assert after["user_idle_s"].to_pylist() == [3600.0]


def test_rows_of_several_views_are_pushed_all_or_none(filled: Store, make_events: Events, items: pa.Table) -> None:
    at = NOW + 2 * HOUR
    log = make_events([("of-two", "two", 24 * 10 + 1, {})])
    rows = compute.rows_at(log, items, at=at, users=["of-two"], item_ids=["two"])
    popularity = rows["item_popularity"]
    nobodys = popularity.set_column(0, "item_id", pa.array([None], pa.string()))
    before = filled.online_frame("of-two", ["two"], at=at)
    with pytest.raises(StoreError, match="1 rows of view item_popularity have no item_id"):
        filled.push_all(rows | {"item_popularity": nobodys})
    assert filled.online_frame("of-two", ["two"], at=at) == before
    filled.push_all(rows | {"item_popularity": popularity.slice(0, 0)})
    after = filled.online_frame("of-two", ["two"], at=at)
    assert after["user_interactions_1d"].to_pylist() == [1]
    assert after["item_interactions_1d"].to_pylist() == [None]


def test_a_push_by_feast_writes_what_ours_does(filled: Store, make_events: Events, items: pa.Table) -> None:
    log = make_events([("p", "a", 0, {}), ("q", "a", 0, {})])
    rows = compute.rows_at(log, items, at=NOW, users=["p", "q"])["user_activity"]
    filled.push("user_activity", rows.slice(0, 1))
    frame = rows.slice(1, 1).append_column("created_timestamp", pa.array([NOW], schema.TIMESTAMP)).to_pandas()
    filled.feast.push(push_name("user_activity"), frame)
    ours, theirs = (filled.online_frame(user, ["a"], at=NOW).drop_columns("user_id") for user in "pq")
    assert ours.replace_schema_metadata() == theirs.replace_schema_metadata()


def test_a_taste_expires_online_as_it_does_offline(filled: Store) -> None:
    for at, affinity in [(START + 700 * DAY, 0.5), (START + 800 * DAY, None)]:
        online = filled.online_frame("u", ["c"], at=at)["category_affinity"].to_pylist()
        offline = filled.training_frame(requests([("u", "c", at)]))["category_affinity"].to_pylist()
        assert online == offline
        assert (online[0] is None) == (affinity is None)


@pytest.mark.parametrize("kind", ["packed", "sqlite"])
def test_a_forgotten_user_is_unknown_online_until_written_again(
    tmp_path: Path, make_events: Events, items: pa.Table, kind: str
) -> None:
    log = make_events([("u", "a", 0, {}), ("v", "a", 0, {}), ("café", "b", 1, {})])
    store = Store(Settings(home=tmp_path, online_store=kind))
    store.apply()
    views = ("user_activity", "user_item_affinity")
    for view in views:
        store.write_view(view, compute.view_rows(view, log, items, until=NOW))
    store.materialize(NOW)
    users = ["u", "v", "café"]
    before = store.online_rows({"user_id": users}, at=NOW, service="retrieval_v1")
    for view in views:
        store.delete(view, ["u", "café", "nobody"])
        store.delete(view, [])
    after = store.online_rows({"user_id": users}, at=NOW, service="retrieval_v1")
    assert missing(after)["user_id"] == ["u", "café"]
    assert after.slice(1, 1) == before.slice(1, 1)
    assert all(after[name][0].as_py() is None for name in store.feature_columns("retrieval_v1").names)
    store.refresh(log, items, at=NOW, users=["u"])
    again = store.online_rows({"user_id": users}, at=NOW, service="retrieval_v1")
    assert missing(again)["user_id"] == ["café"]
    assert again.slice(0, 2) == before.slice(0, 2)
    with pytest.raises(StoreError, match=r"'user_moods' does not exist; known: .*user_activity"):
        store.delete("user_moods", ["u"])


@pytest.mark.parametrize("kind", ["packed", "sqlite"])
def test_no_byte_of_a_forgotten_user_stays_in_the_online_file(
    tmp_path: Path, make_events: Events, items: pa.Table, kind: str
) -> None:
    def files_with(user: str) -> list[str]:
        return [one.name for one in tmp_path.rglob("*") if one.is_file() and user.encode() in one.read_bytes()]

    log = make_events(
        [(user, "a", hour, {}) for hour, user in enumerate(["gone", "kept"] + [f"n{n}" for n in range(99)])]
    )
    store = Store(Settings(home=tmp_path, online_store=kind))
    views = ("user_activity", "user_item_affinity")
    online = {"user_activity online": 1, "user_item_affinity online": 1, "user_vectors online": 0}
    assert not any(forget_features(store, ["gone"], erase=False).values())  # before there is any table
    store.apply()
    for view in views:
        store.write_view(view, compute.view_rows(view, log, items, until=NOW))
    store.materialize(NOW)
    if kind == "sqlite":  # some builds overwrite what is deleted, this machine's may be one; others leave it there
        connection = store.feast._get_provider().online_store._get_conn(store.feast.config)
        connection.execute("pragma secure_delete = off")
    store.refresh(log, items, at=NOW, users=["gone"])  # written over: what was there before is garbage of the file
    assert files_with("gone")
    counted = {view: store.read_view(view)["user_id"].to_pylist().count("gone") for view in views}
    assert all(counted.values())
    assert forget_features(store, ["gone", "nobody", "gone"], erase=False) == counted | online
    assert files_with("gone")
    assert forget_features(store, ["gone", "nobody", "gone"]) == counted | online
    assert not files_with("gone")
    assert files_with("kept")
    assert not any(forget_features(store, ["gone"]).values())
    store.materialize(NOW)
    asked = store.online_rows({"user_id": ["gone", "kept"]}, at=NOW, service="retrieval_v1")
    assert missing(asked)["user_id"] == ["gone"]


def test_vectors_are_read_by_the_retrieval_service(filled: Store) -> None:
    vector = [1.0] + [0.0] * 127
    rows = {"user_id": ["u"], "event_timestamp": pa.array([NOW], schema.TIMESTAMP), "user_vector": [vector]}
    filled.push("user_vectors", pa.table(rows))
    row = filled.online_rows({"user_id": ["u"]}, at=NOW, service="retrieval_v1").to_pylist()[0]
    assert row["user_vector"] == vector
    assert row["affinity_categories"] == ["x", "z"]
    assert row["user_interactions"] == 3


def test_applying_again_changes_nothing(filled: Store) -> None:
    columns = filled.feature_columns("ranking_v1")
    filled.apply()
    assert filled.feature_columns("ranking_v1") == columns
    assert filled.online_frame("u", ["a"], at=NOW)["user_interactions"].to_pylist() == [3]


def test_what_the_store_does_not_know_is_named_with_what_it_does(filled: Store, tmp_path: object) -> None:
    with pytest.raises(StoreError, match="'ranking_v9' is not registered; known: ranking_v1, retrieval_v1"):
        filled.feature_columns("ranking_v9")
    with pytest.raises(StoreError, match="none; run apply first"):
        Store(Settings(home=tmp_path)).feature_columns("ranking_v1")
    with pytest.raises(StoreError, match="'activity' does not exist; known: item_content"):
        filled.write_view("activity", pa.table({}))
    with pytest.raises(StoreError, match="lack item_id, event_timestamp, categories"):
        filled.write_view("item_content", pa.table({}))
    with pytest.raises(StoreError, match="another type"):
        filled.push("user_vectors", pa.table({"user_id": ["u"], "event_timestamp": ["then"], "user_vector": [[1.0]]}))
    with pytest.raises(StoreError, match="rows lack device, place"):
        filled.training_frame(requests([("u", "a", NOW)]).drop_columns(["device", "place"]))
    with pytest.raises(StoreError, match="ranking_v1 needs item_id, user_id; give item_id too"):
        filled.online_rows({"user_id": ["u"]}, at=NOW)


def test_the_asof_store_answers_what_feasts_own_does(filled: Store) -> None:
    from feast import FeatureStore, RepoConfig

    config = Template((REPO / "feature_store.yaml").read_text()).substitute(TRICHORD_HOME=filled.settings.home)
    settings = {**yaml.safe_load(config), "offline_store": {"type": "duckdb"}}
    stock = FeatureStore(config=RepoConfig(repo_path=REPO, **settings))
    assert type(stock._get_provider().offline_store).__name__ == "DuckDBOfflineStore"
    rows = [
        ("v", "c", NOW),
        ("u", "a", NOW),
        ("u", "a", NOW),  # twice
        ("u", "a", START),  # before anything happened
        ("u", "b", START + HOUR),  # at the moment itself
        ("u", "b", START + HOUR + timedelta(microseconds=1)),
        ("u", "c", START + 900 * DAY),  # when tastes have expired
        ("nobody", "d", NOW),
    ]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "event_timestamp"])
    frame["as_of"] = frame["requested_at"] = [round(row[2].timestamp() * 1e6) for row in rows]
    frame = frame.assign(device="tv", place="home", row=range(len(rows)))
    for full_feature_names in (False, True):
        service = filled.feast.get_feature_service("ranking_v1")
        ours, theirs = (
            one.get_historical_features(frame, service, full_feature_names=full_feature_names).to_arrow()
            for one in (filled.feast, stock)
        )
        assert ours["row"].to_pylist() == list(range(len(rows)))
        theirs = theirs.sort_by("row").select(ours.column_names)
        assert ours.to_pylist() == theirs.to_pylist()
    # a training frame has the on-demand features that Feast computes, though made without it
    of_stock = Store(filled.settings)
    of_stock.__dict__["feast"] = stock
    asked = requests(rows).drop_columns(["device", "place"])
    asked = asked.append_column("device", pa.array(frame["device"])).append_column("place", pa.array(frame["place"]))
    by_feast = filled.feast.get_historical_features(frame, service).to_arrow()
    for store in (filled, of_stock):
        answer = store.training_frame(asked).select(filled.feature_columns("ranking_v1").names)
        assert answer.to_pylist() == by_feast.select(answer.column_names).to_pylist()


def test_a_stock_online_store_answers_what_the_packed_one_does(
    filled: Store, make_events: Events, items: pa.Table, tmp_path: Path
) -> None:
    from feast import FeatureStore, RepoConfig

    config = Template((REPO / "feature_store.yaml").read_text()).substitute(TRICHORD_HOME=filled.settings.home)
    sqlite = {"online_store": {"type": "sqlite", "path": str(tmp_path / "online.db")}}
    changed = {**yaml.safe_load(config), **sqlite, "registry": str(tmp_path / "registry.db")}
    stock = Store(filled.settings)
    stock.__dict__["feast"] = FeatureStore(config=RepoConfig(repo_path=REPO, **changed))
    stock.apply()
    stock.materialize(NOW)
    log = make_events([("s", "a", 24 * 10, {"device": "tv"})])
    for store in (filled, stock):
        store.refresh(log, items, at=NOW + HOUR, users=["s"])
    for at in (NOW + 2 * HOUR, START + 800 * DAY):
        for user in ("u", "s", "nobody"):
            ours, theirs = (
                store.online_frame(user, ["a", "x", "c", "a"], at=at, device="tv") for store in (filled, stock)
            )
            assert ours == theirs
            assert missing(ours) == missing(theirs)
    vectors = [store.online_rows({"user_id": ["u", "s"]}, at=NOW, service="retrieval_v1") for store in (filled, stock)]
    assert vectors[0].drop_columns(["user_vector"]) == vectors[1].drop_columns(["user_vector"])  # pushed to one alone


def test_feasts_server_answers_and_takes_pushes(filled: Store, make_events: Events, items: pa.Table) -> None:
    from fastapi.testclient import TestClient
    from feast.feature_server import get_app

    rows = compute.rows_at(make_events([("f", "a", 0, {})]), items, at=NOW, users=["f"])["user_activity"]
    row = rows.append_column("created_timestamp", pa.array([NOW], schema.TIMESTAMP)).to_pydict()
    pushed = {name: [str(one) if "timestamp" in name else one for one in of] for name, of in row.items()}
    with TestClient(get_app(filled.feast)) as client:
        sent = {"push_source_name": push_name("user_activity"), "df": pushed, "to": "online"}
        assert client.post("/push", json=sent).status_code == 200
        asked = {"features": ["user_activity:user_interactions"], "entities": {"user_id": ["f", "u", "nobody"]}}
        answer = client.post("/get-online-features", json=asked).json()
    place = answer["metadata"]["feature_names"].index("user_interactions")
    assert answer["results"][place]["values"] == [1, 3, None]
    assert answer["results"][place]["statuses"] == ["PRESENT", "PRESENT", "NOT_FOUND"]


def test_items_are_read_from_a_snapshot_that_each_materialization_renews(
    tmp_path: Path, make_items: Callable[[dict[str, list[str]]], pa.Table]
) -> None:
    home = Store(Settings(home=tmp_path))
    home.apply()
    snapshots = tmp_path / "online" / "snapshots"

    def categories() -> list[object]:
        frame = home.online_frame("nobody", ["a", "b"], at=NOW, service="content")
        found: list[object] = frame["categories"].to_pylist()
        return found

    views = {view.name: view for view in home.feast.list_feature_views()}
    home.feast.apply([FeatureService(name="content", features=[views["item_content"]])])
    home.write_view("item_content", compute.content_rows(make_items({"a": ["x"], "b": []})), written_at=NOW)
    home.materialize(NOW)
    assert categories() == [["x"], []]
    [first] = snapshots.iterdir()
    later = compute.content_rows(make_items({"a": ["feast"]}))
    stamped = later.append_column("created_timestamp", pa.array([NOW + DAY], schema.TIMESTAMP))
    home.feast.write_to_online_store("item_content", stamped.to_pandas())  # without this class
    assert categories() == [["feast"], []]
    home.push("item_content", compute.content_rows(make_items({"b": ["pushed"]})))
    assert categories() == [["feast"], ["pushed"]]
    home.write_view("item_content", compute.content_rows(make_items({"a": ["y"], "b": ["z"]})))
    home.materialize(NOW)
    assert categories() == [["y"], ["z"]]
    [second] = snapshots.iterdir()
    assert first != second
