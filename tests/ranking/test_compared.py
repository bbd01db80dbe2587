"""A second release beside the current one: loaded on demand, read only."""

import threading
import time

import pytest
from fastapi.testclient import TestClient

from ranking.errors import ArtifactError, NotReadyError
from ranking.serving.app import create_app
from ranking.serving.compared import Compared
from ranking.serving.payloads import Request


def asked(client, body):
    """The answer once the release is there; what came before must have been 503."""
    for _ in range(400):
        answer = client.post("/v1/recommendations", json=body)
        if answer.status_code != 503:
            return answer
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["content-type"] == "application/problem+json"
        time.sleep(0.05)
    raise AssertionError("not loaded")


@pytest.fixture
def client(engine, home, world):
    world.publish(home, "second")
    return TestClient(create_app(engine))


def test_another_release_answers_as_it_would_as_the_current_one(client, engine):
    body = {"user_id": "u00", "k": 5}
    assert client.post("/v1/recommendations", json=body | {"release": "second"}).status_code == 503
    other = asked(client, body | {"release": "second"}).json()
    current = client.post("/v1/recommendations", json=body).json()
    assert (other["release"], current["release"]) == ("second", "first")
    assert other["items"] == current["items"]
    assert other["fallbacks"] == []


def test_it_knows_the_events_that_came_since(client):
    body = {"user_id": "u00", "k": 5, "release": "second"}
    before = asked(client, body).json()
    item = before["items"][0]["item_id"]
    assert client.post("/v1/events", json={"user_id": "u00", "item_id": item, "kind": "click"}).status_code == 200
    after = asked(client, body).json()
    assert item not in {one["item_id"] for one in after["items"]}
    assert after["items"] == client.post("/v1/recommendations", json=body | {"release": None}).json()["items"]


def test_looking_at_a_release_is_neither_logged_nor_counted(client, engine):
    asked(client, {"user_id": "u00", "release": "second"})
    client.post("/v1/recommendations", json={"user_id": "u00", "release": "first"})
    assert engine.traffic.report().requests == 0
    client.post("/v1/recommendations", json={"user_id": "u00"})
    assert engine.traffic.report().requests == 1


def test_the_current_release_goes_on_answering_while_another_loads(client):
    client.post("/v1/recommendations", json={"release": "second"})
    assert client.post("/v1/recommendations", json={"user_id": "u00"}).json()["release"] == "first"


@pytest.mark.parametrize("name", ["third", "../first", ".", "first/../second"])
def test_an_unknown_release_is_refused_by_name(client, name):
    answer = client.post("/v1/recommendations", json={"release": name})
    assert answer.status_code == 422
    assert "known are first, second" in answer.json()["detail"]


def test_a_damaged_release_is_refused_with_its_reason(client, home):
    (home.releases / "second" / "items.parquet").write_bytes(b"torn")
    answer = asked(client, {"release": "second"})
    assert answer.status_code == 422
    assert "items.parquet" in answer.json()["detail"]


def test_one_release_is_held_and_one_load_runs_at_a_time(engine, home, world):
    world.publish(home, "second")
    world.publish(home, "third")
    may_end, loads = threading.Event(), []

    def load(release):
        loads.append(release.id)
        may_end.wait(10)
        return engine.loaded.__class__(**{**vars(engine.loaded), "release": release})

    compared = Compared(engine.releases, load)
    for name in ("second", "second", "third"):
        with pytest.raises(NotReadyError):
            compared.of(name)
    may_end.set()
    held = wait(compared, "second")
    assert (held.release.id, loads) == ("second", ["second"])
    assert wait(compared, "third").release.id == "third"
    assert wait(compared, "second").release.id == "second"
    assert loads == ["second", "third", "second"]
    with pytest.raises(ArtifactError):
        compared.of("fourth")


def wait(compared, name):
    for _ in range(200):
        try:
            return compared.of(name)
        except NotReadyError:
            time.sleep(0.02)
    raise AssertionError(name)


def test_the_engine_answers_by_it_too(engine, home, world):
    world.publish(home, "second")
    with pytest.raises(NotReadyError, match="second"):
        engine.recommend(Request(release="second"))
