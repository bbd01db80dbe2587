"""`feast serve` and `feast materialize`, started from the shell on the packed store, against our own look-ups."""

import contextlib
import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from feast import FeatureView, Field
from feast.types import Array, Bytes, FeastType, Float32, Float64, Int64, String, UnixTimestamp

from feature_repo import compute, schema
from feature_repo.asked import Asked
from feature_repo.configuration import REPO
from feature_repo.entities import USER
from feature_repo.epoch import EPOCH
from feature_repo.feast_json import as_json
from feature_repo.lookup import look_up
from feature_repo.settings import Settings
from feature_repo.sources import push_name, rows_source
from feature_repo.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)  # of make_events
NOW = datetime.now(UTC).replace(microsecond=0)  # Feast's server knows no other time
WRITTEN = [NOW - timedelta(hours=1), NOW - timedelta(hours=9, microseconds=1), NOW - timedelta(milliseconds=1500)]
FEAST = [Path(sys.executable).parent / "feast", "-c", REPO]
Answered = dict[str, dict[str, list[object]]]
Row = tuple[str, str, float, dict[str, object]]
Write = Callable[[Store, str, Mapping[str, Sequence[object]], Sequence[datetime]], None]

# Of every kind of value what JSON could get wrong, for three users
ODD: dict[str, tuple[FeastType, list[object]]] = {
    "exact": (Int64, [2**53 + 1, -(2**63), None]),
    "single": (Float32, [0.1, math.nan, math.inf]),
    "double": (Float64, [-math.inf, 0.1, None]),
    "vector": (Array(Float32), [[0.1, 1.0], None, [math.nan, 0.0]]),
    "texts": (Array(String), [["é", '"'], [], None]),
    "raw": (Bytes, [b"\0\xff", None, b""]),
    "seen": (UnixTimestamp, [START, None, START]),
}


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory,
    make_events: Callable[[Sequence[Row]], pa.Table],
    items: pa.Table,
    write_rows: Write,
) -> Store:
    """The platform's views after a few events of the last days, one of odd values, and one whose rows expire."""
    store = Store(Settings(home=tmp_path_factory.mktemp("home")))
    store.apply()
    then = (NOW - START) / timedelta(hours=1) - 100
    rows: list[Row] = [("u", "a", then, {"device": "tv"}), ("u", "b", then + 9, {}), ("v", "a", then + 70, {})]
    store.refresh(make_events(rows), items, at=NOW, users=["u", "v"], item_ids=["a", "b"])
    store.push("item_content", compute.content_rows(items))
    views = {
        "odd": ([Field(name=name, dtype=kind) for name, (kind, _) in ODD.items()], timedelta(0)),
        "fading": ([Field(name="n", dtype=Int64)], timedelta(hours=2)),
    }
    key = Field(name="user_id", dtype=String)
    for name, (fields, ttl) in views.items():
        source = rows_source(store.settings, name)
        store.feast.apply(FeatureView(name=name, entities=[USER], schema=[key, *fields], source=source, ttl=ttl))
    users = ["u", "v", "w"]
    write_rows(store, "odd", {"user_id": users} | {name: values for name, (_, values) in ODD.items()}, WRITTEN)
    write_rows(store, "fading", {"user_id": users, "n": [1, 2, 3]}, WRITTEN)
    return store


@pytest.fixture(scope="module")
def server(filled: Store) -> Iterator[httpx.Client]:
    """`feast serve` on the same home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*FEAST, "serve", "--port", str(port), "--no-access-log"],
        env=environment(filled),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            for _ in range(600):
                with contextlib.suppress(httpx.TransportError):
                    client.get("/health").raise_for_status()
                    break
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait()


def environment(store: Store) -> dict[str, str]:
    return {**os.environ, "TRICHORD_HOME": str(store.settings.home)}


def by_name(body: bytes) -> Answered:
    answer = json.loads(body)
    assert answer.keys() == {"metadata", "results"}
    return dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))


def theirs(server: httpx.Client, entities: Mapping[str, list[str | int]], asked: Asked) -> Answered:
    body: dict[str, object] = {"entities": entities, "full_feature_names": asked.full_names}
    body |= {"feature_service": asked.service} if asked.service else {"features": asked.features}
    answer = server.post("/get-online-features", json=body)
    assert answer.status_code == 200, answer.text
    return by_name(answer.content)


def ours(store: Store, entities: Mapping[str, list[str | int]], asked: Asked) -> Answered:
    return by_name(as_json(look_up(store, entities, asked, at=datetime.now(UTC))))


@pytest.mark.parametrize("full", [False, True])
def test_odd_values_missing_and_repeated_entities_are_answered_as_feast_serve_does(
    filled: Store, server: httpx.Client, full: bool
) -> None:
    entities = {"user_id": ["w", "nobody", "u", "v", "u"]}
    asked = Asked(features=tuple(f"odd:{name}" for name in ODD), full_names=full)
    assert ours(filled, entities, asked) == theirs(server, entities, asked)
    exact = ours(filled, entities, asked)["odd__exact" if full else "exact"]
    assert exact["values"] == [None, None, 2**53 + 1, -(2**63), 2**53 + 1]
    assert exact["statuses"] == ["PRESENT", "NOT_FOUND", "PRESENT", "PRESENT", "PRESENT"]
    assert exact["event_timestamps"][1] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("service", ["retrieval_v1", "ranking_v1"])
def test_the_platforms_services_are_answered_as_feast_serve_does(
    filled: Store, server: httpx.Client, service: str
) -> None:
    moment = (NOW - EPOCH) // timedelta(microseconds=1)
    entities = {"user_id": ["u", "u", "v", "nobody"], "item_id": ["a", "d", "b", "nothing"]}
    request = {"as_of": [moment] * 4, "requested_at": [moment] * 4, "device": ["tv"] * 4, "place": ["home"] * 4}
    if service == "retrieval_v1":
        entities, request = {"user_id": entities["user_id"]}, {}
    assert ours(filled, entities | request, Asked(service)) == theirs(server, entities | request, Asked(service))


def test_an_expired_row_has_another_status_than_from_feast_serve_and_nothing_else(
    filled: Store, server: httpx.Client
) -> None:
    entities, asked = {"user_id": ["u", "v", "nobody"]}, Asked(features=("fading:n",))
    ours_, theirs_ = ours(filled, entities, asked)["n"], theirs(server, entities, asked)["n"]
    assert ours_.pop("statuses") == ["PRESENT", "OUTSIDE_MAX_AGE", "NOT_FOUND"]
    assert theirs_.pop("statuses") == ["PRESENT", "NOT_FOUND", "NOT_FOUND"]
    assert ours_ == theirs_
    assert ours_["values"] == [1, None, None]


def test_a_number_is_an_id_of_a_text_key_as_for_feast_serve(filled: Store, server: httpx.Client) -> None:
    entities, asked = {"user_id": [7]}, Asked(features=("odd:exact",))
    assert ours(filled, entities, asked) == theirs(server, entities, asked)


def test_what_is_pushed_to_feast_serve_is_seen_by_both(filled: Store, server: httpx.Client) -> None:
    asked = Asked(features=("user_activity:user_interactions", "user_activity:user_mean_value"))
    names = [field.name for field in filled.feast.get_feature_view("user_activity").features]
    values: dict[str, object] = dict.fromkeys(names, 7) | {"user_mean_value": 2.5}
    row = {"user_id": "pushed", "event_timestamp": NOW.isoformat(), "created_timestamp": NOW.isoformat(), **values}
    for count, moment in ((7, NOW), (8, NOW + timedelta(microseconds=10)), (9, NOW - timedelta(days=1))):
        row |= {"event_timestamp": moment.isoformat(), "user_interactions": count}
        push = {"push_source_name": push_name("user_activity"), "df": {name: [one] for name, one in row.items()}}
        answer = server.post("/push", json=push)
        assert answer.status_code == 200, answer.text
        found = theirs(server, {"user_id": ["pushed"]}, asked)
        assert found == ours(filled, {"user_id": ["pushed"]}, asked)
        assert found["user_interactions"]["values"] == [min(count, 8)]  # an older row is not written
        assert found["user_mean_value"]["values"] == [2.5]


def test_what_feast_materialize_writes_is_seen_by_feast_serve(filled: Store, server: httpx.Client) -> None:
    vectors = pa.array([[place / 7 for place in range(128)]], pa.list_(pa.float32()))
    moment = pa.array([NOW - timedelta(days=1)], schema.TIMESTAMP)
    filled.write_view("item_vectors", pa.table({"item_id": ["new"], "event_timestamp": moment, "item_vector": vectors}))
    start, end = (NOW - timedelta(days=2)).isoformat(), NOW.isoformat()
    done = subprocess.run(
        [*FEAST, "materialize", start, end, "--views", "item_vectors"],
        env=environment(filled),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    asked = Asked(features=("item_vectors:item_vector",))
    found = theirs(server, {"item_id": ["new", "a"]}, asked)
    assert found["item_vector"]["values"] == [vectors.to_pylist()[0], None]
    assert found == ours(filled, {"item_id": ["new", "a"]}, asked)
