"""The HTTP API over a small real home."""

import re
import time
from datetime import timedelta
from pathlib import Path

import httpx
import pyarrow as pa
import pytest
from fastapi.testclient import TestClient
from feast import FeatureStore, RepoConfig

from feature_repo.arrow_stream import MEDIA_TYPE as STREAM
from feature_repo.epoch import EPOCH
from ranking.serving.app import MAX_BODY, create_app
from ranking.serving.engine import Engine
from ranking.serving.feature_payloads import OnlineFeatures
from tests.servers import running

CONTRACT_ITEM = {"item_id", "rank", "score", "propensity", "sources", "reasons", "rules"}


@pytest.fixture
def client(settled):
    """For requests that change nothing."""
    return TestClient(create_app(settled))


@pytest.fixture
def writable(engine):
    return TestClient(create_app(engine))


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert {"type", "title", "detail", "faults"} <= body.keys()
    return body


def test_recommendations_have_the_contracts_keys(client):
    body = client.post("/v1/recommendations", json={"user_id": "u00", "k": 4, "context": {"device": "tv"}}).json()
    assert body.keys() >= {"request_id", "release", "user_id", "fallbacks", "items", "timings_ms"}
    assert body["timings_ms"].keys() == {"features", "candidates", "rank", "strategy", "total"}
    assert (body["user_id"], body["release"], body["fallbacks"], len(body["items"])) == ("u00", "first", [], 4)
    for item in body["items"]:
        assert item.keys() >= CONTRACT_ITEM
        assert all(source.keys() == {"generator", "rank", "score"} for source in item["sources"])
    assert sum(body["timings_ms"].values()) <= 2.01 * body["timings_ms"]["total"]


def test_http_answers_what_the_engine_answers(client, settled):
    from ranking.serving.payloads import Request

    body = client.post("/v1/recommendations", json={"session": ["i02", "i04"], "k": 5, "explain": True}).json()
    direct = settled.recommend(Request(session=("i02", "i04"), k=5, explain=True)).model_dump()
    assert body["items"] == direct["items"]


@pytest.mark.parametrize(
    ("request_body", "named"),
    [
        ({"k": 0}, "k 0: input should be greater than or equal to 1"),
        ({"k": 101}, "less than or equal to 100"),
        ({"k": "many"}, 'k "many"'),
        ({"user_id": 7}, "user_id 7"),
        ({"user_id": ""}, 'user_id ""'),
        ({"session": ["i99"]}, "'i99' is not in the catalogue"),
        ({"session": "i01"}, "session"),
        ({"context": {"at": "yesterday"}}, "context.at"),
        ({"context": {"at": "2024-01-01T10:00:00"}}, "timezone"),
        ({"context": {"weather": "rain"}}, "context.weather: not supported"),
        ([], "no JSON object"),
        ({"rules": [{"include": "x"}]}, "rules.0"),
        ({"rules": ["cap categories at 2"] * 51}, "rules"),
        ({"query": {}}, "nothing to look for; give a text, an image or an audio"),
        ({"query": {"text": ""}}, 'query.text ""'),
        ({"query": {"text": "x" * 2001}}, "query.text"),
        ({"query": {"video": "AAAA"}}, "query.video: not supported"),
        ({"query": {"image": "data:image/png;base64,AAAA"}}, "query.image: no base64"),
        ({"query": {"audio": "A" * 7_000_000}}, "query.audio"),
        ({"query_weight": 2}, "query_weight 2"),
        ({"diversity": 1.5}, "diversity 1.5: input should be less than or equal to 1"),
        ({"exploration": -0.1}, "exploration -0.1: input should be greater than or equal to 0"),
        ({"explorer": "lucky"}, "explorer"),
        ({"spread": "wide"}, 'spread "wide"'),
        ({"weights": {"content": 4}}, "weights.content 4"),
        ({"weights": {"novelty": 1}}, "weights.novelty: not supported"),
    ],
)
def test_a_request_that_cannot_be_honoured_is_refused_by_name(client, request_body, named):
    assert named in problem(client.post("/v1/recommendations", json=request_body), 422)["detail"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"{", 400),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"user_id": "\\ud800"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b'{"k": NaN}', 422),
        (b'{"k": 1e999}', 422),
    ],
)
def test_malformed_bodies_are_problems_not_failures(client, content, status):
    answer = client.post("/v1/recommendations", content=content, headers={"content-type": "application/json"})
    problem(answer, status)


@pytest.mark.parametrize("depth", [100, 500, 900, 2000])
@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/events", "/get-online-features"])
def test_nested_bodies_are_problems_not_failures(client, path, depth):
    content = b'{"session":' + b"[" * depth + b"]" * depth + b"}"
    answer = client.post(path, content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text


def test_a_body_beyond_the_limit_is_not_read(client):
    def endless():
        for _ in range(64):
            yield b'"' + b"x" * (MAX_BODY // 16)

    answer = client.post("/v1/events", content=endless(), headers={"content-type": "application/json"})
    assert str(MAX_BODY) in problem(answer, 413)["detail"]


def test_unknown_paths_and_methods_are_problems(client):
    problem(client.get("/v2/anything"), 404)
    problem(client.get("/v1/recommendations"), 405)


def test_a_posted_event_changes_the_next_answer(writable):
    def ids():
        body = writable.post("/v1/recommendations", json={"user_id": "u00", "k": 5}).json()
        return [item["item_id"] for item in body["items"]]

    first = ids()[0]
    event = {"event_id": "e", "user_id": "u00", "item_id": first, "kind": "click"}
    answer = writable.post("/v1/events", json=event)
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 1, "duplicates": 0, "rejected": [], "unmatched": [], "fallbacks": []},
    )
    assert first not in ids()
    again = writable.post("/v1/events", json=[event, {"user_id": "u00"}])
    assert again.status_code == 200
    assert (again.json()["accepted"], again.json()["duplicates"]) == (0, 1)
    assert [one["index"] for one in again.json()["rejected"]] == [1]


def test_a_batch_without_a_good_event_is_a_problem_that_names_each(writable):
    body = problem(writable.post("/v1/events", json=[{"user_id": "u00"}, 3]), 422)
    assert [fault["field"] for fault in body["faults"]] == ["[0]", "[1]"]
    assert writable.post("/v1/events", json=[]).json()["accepted"] == 0


def test_online_features_have_feasts_shape_and_the_stores_values(client, settled):
    users = ["u00", "u01", "nobody"]
    body = client.post(
        "/get-online-features", json={"feature_service": "retrieval_v1", "entities": {"user_id": users}}
    ).json()
    names = body["metadata"]["feature_names"]
    table = settled.loaded.store.online_rows({"user_id": users}, at=settled.now(), service="retrieval_v1")
    assert set(names) == set(table.column_names)
    for name, result in zip(names, body["results"], strict=True):
        assert result.keys() == {"values", "statuses", "event_timestamps"}
        assert result["values"] == table[name].to_pylist()
        if name != "user_id":
            assert result["statuses"][2] == "NOT_FOUND"


def test_online_features_of_a_ranking_equal_the_stores(client, settled):
    ids = {"user_id": ["u00", "u00"], "item_id": ["i01", "i02"]}
    moment = (settled.now() - EPOCH) // timedelta(microseconds=1)
    surroundings = {"device": ["tv", "tv"], "place": ["home", "home"], "requested_at": [moment, moment]}
    body = client.post(
        "/get-online-features", json={"feature_service": "ranking_v1", "entities": {**ids, **surroundings}}
    ).json()
    table = settled.loaded.store.online_rows(ids, at=settled.now(), device="tv", place="home")
    found = dict(zip(body["metadata"]["feature_names"], body["results"], strict=True))
    for name in table.column_names:
        assert found[name]["values"] == table[name].to_pylist(), name


def test_online_features_by_reference_carry_their_views_name_when_asked(client):
    asked = {"features": ["user_activity:user_interactions"], "entities": {"user_id": ["u00"]}}
    plain = client.post("/get-online-features", json=asked).json()
    full = client.post("/get-online-features", json={**asked, "full_feature_names": True}).json()
    assert plain["metadata"]["feature_names"] == ["user_id", "user_interactions"]
    assert full["metadata"]["feature_names"] == ["user_id", "user_activity__user_interactions"]
    assert plain["results"][1]["values"] == full["results"][1]["values"] == [8]


ASKED = {"feature_service": "retrieval_v1", "entities": {"user_id": ["u00", "nobody"]}}


@pytest.mark.parametrize("accept", [STREAM, f"{STREAM}, */*", f"application/json;q=0.5, {STREAM.upper()}"])
def test_online_features_are_arrow_when_asked(client, accept):
    answer = client.post("/get-online-features", json=ASKED, headers={"Accept": accept})
    assert (answer.headers["content-type"], answer.headers["vary"]) == (STREAM, "Accept")
    table = pa.ipc.open_stream(answer.content).read_all()
    body = client.post("/get-online-features", json=ASKED).json()
    for name, result in zip(body["metadata"]["feature_names"], body["results"], strict=True):
        assert table[name].to_pylist() == result["values"]
    assert table["user_activity:status"].to_pylist() == ["PRESENT", "NOT_FOUND"]
    assert table["user_activity:event_timestamp"][1].as_py() is None


@pytest.mark.parametrize(
    "accept", ["*/*", "", "text/html", "nonsense;;q=x,,", f"{STREAM};q=0", f"{STREAM};q=0.4, application/json;q=0.5"]
)
def test_online_features_are_json_for_any_other_accept(client, accept):
    answer = client.post("/get-online-features", json=ASKED, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["results"][0]["values"] == ["u00", "nobody"]


def test_feasts_own_client_reads_from_the_server(engine, tmp_path):
    with running(create_app(engine)) as address:
        config = RepoConfig(
            project="trichord",
            provider="local",
            registry=str(engine.settings.home / "registry.db"),
            online_store={"type": "remote", "path": address},
            entity_key_serialization_version=3,
            repo_path=tmp_path,
        )
        remote = FeatureStore(config=config)
        found = remote.get_online_features(
            ["user_activity:user_interactions"], {"user_id": ["u00", "nobody"]}
        ).to_dict()
    assert found == {"user_id": ["u00", "nobody"], "user_interactions": [8, None]}


def test_online_features_that_cannot_be_given_as_arrow_are_a_problem(client):
    problem(client.post("/get-online-features", json={"entities": {}}, headers={"Accept": STREAM}), 422)


def test_the_client_of_the_documentation_reads_arrow(engine):
    page = (Path(__file__).parents[2] / "docs" / "feature-store.md").read_text()
    (code,) = (text for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "httpx.post" in text)
    with running(create_app(engine)) as address:
        names = {"httpx": httpx, "pyarrow": pa, "url": f"{address}/get-online-features"}
        exec(code.replace("u00001", "u00"), names)
    assert names["table"]["user_id"].to_pylist() == ["u00", "u00002"]
    assert names["table"]["user_activity:status"].to_pylist() == ["PRESENT", "NOT_FOUND"]


def test_both_forms_of_online_features_are_described(client):
    described = client.get("/openapi.json").json()["paths"]["/get-online-features"]["post"]
    assert described["responses"]["200"]["content"].keys() == {"application/json", STREAM}
    assert STREAM in described["description"]
    body = client.post("/get-online-features", json=ASKED).json()
    OnlineFeatures.model_validate(body)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"feature_service": "none_v1", "entities": {"user_id": ["u"]}}, "retrieval_v1"),
        ({"features": ["user_activity:age"], "entities": {"user_id": ["u"]}}, "'user_activity:age'"),
        ({"features": ["nonsense"], "entities": {"user_id": ["u"]}}, "'nonsense'"),
        ({"feature_service": "ranking_v1", "entities": {"user_id": ["u"]}}, "item_id"),
        ({"feature_service": "ranking_v1", "entities": {"user_id": ["u"], "item_id": ["a", "b"]}}, "equally many"),
        ({"entities": {"planet": ["earth"]}}, "planet"),
        ({"entities": {"user_id": []}}, "at least one"),
        ({"entities": {}}, "entities"),
        ({"feature_service": "a", "features": ["b"], "entities": {"user_id": ["u"]}}, "give one of them"),
    ],
)
def test_features_that_cannot_be_looked_up_are_named(client, asked, named):
    assert named in problem(client.post("/get-online-features", json=asked), 422)["detail"]


def test_health_is_ready_once_a_release_answers(home):
    with TestClient(create_app(Engine(home))) as client:  # begins to load
        assert client.get("/health/live").status_code == 200
        problem(client.post("/v1/recommendations", json={"user_id": "u00"}), 503)
        deadline = time.monotonic() + 30
        while (answer := client.get("/health/ready")).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert answer.json() == {"release": "first", "refused": ""}
        assert client.post("/v1/recommendations", json={"user_id": "u00"}).status_code == 200


def test_readiness_tells_why_no_release_answers(home):
    (home.releases / "first" / "items.parquet").unlink()
    with TestClient(create_app(Engine(home))) as client:
        deadline = time.monotonic() + 30
        while "items.parquet" not in problem(client.get("/health/ready"), 503)["detail"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_the_schema_describes_every_path_with_examples(client):
    document = client.get("/openapi.json").json()
    assert document["paths"].keys() == {
        "/v1/recommendations",
        "/v1/rank",
        "/v1/explanations/{request_id}",
        "/metrics",
        "/v1/rules/check",
        "/v1/events",
        "/v1/items/{item_id}/similar",
        "/v1/users",
        "/v1/items",
        "/v1/items/{item_id}",
        "/v1/choices",
        "/v1/dashboard",
        "/media/{item_id}/{kind}",
        "/get-online-features",
        "/health/live",
        "/health/ready",
    }
    assert re.search("swagger", client.get("/docs").text, re.IGNORECASE)
    for name in ("Request", "OnlineFeaturesRequest"):
        assert document["components"]["schemas"][name]["examples"]
    events = document["paths"]["/v1/events"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert events["anyOf"][0]["examples"]


def test_the_examples_of_the_schema_are_accepted(client):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    for example in schemas["OnlineFeaturesRequest"]["examples"]:
        assert client.post("/get-online-features", json=example).status_code == 200
