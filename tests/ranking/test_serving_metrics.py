"""What a server measures of itself, as Prometheus reads it."""

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.metrics import ELSEWHERE


@pytest.fixture
def client(engine):
    return TestClient(create_app(engine))


def samples(client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, frozenset((key, value) for key, value in sample.labels.items() if key != "worker")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(found, metric, /, **labels) -> float:
    return found[metric, frozenset(labels.items())]


def test_answers_are_measured_by_stage_and_fallback(client):
    for user in ("u00", "u01", "somebody"):
        client.post("/v1/recommendations", json={"user_id": user, "k": 3})
    found = samples(client)
    for stage in ("features", "candidates", "rank", "strategy", "total"):
        assert of(found, "trichord_answer_seconds_count", stage=stage) == 3
        assert of(found, "trichord_answer_seconds_sum", stage=stage) > 0
    assert of(found, "trichord_fallbacks_total", name="unknown_user") == 1


def test_requests_are_counted_by_endpoint_and_status(client):
    client.post("/v1/recommendations", json={"k": 0})
    client.post("/v1/recommendations", json={})
    client.get("/v1/explanations/nothing")
    client.get("/v1/items/i01/similar")
    client.get("/v1/items/i02/similar")
    client.get("/no/such/path")
    client.request("BREW", "/no/such/path")
    found = samples(client)

    def count(endpoint, status, method="GET"):
        return of(found, "trichord_requests_total", endpoint=endpoint, method=method, status=str(status))

    assert count("/v1/recommendations", 422, "POST") == count("/v1/recommendations", 200, "POST") == 1
    assert count("/v1/explanations/{request_id}", 404) == 1
    assert count("/v1/items/{item_id}/similar", 200) == 2
    assert count(ELSEWHERE, 404) == 1
    assert count(ELSEWHERE, 404, ELSEWHERE) == 1
    for endpoint, requests in (("/v1/items/{item_id}/similar", 2), ("/v1/recommendations", 2), (ELSEWHERE, 2)):
        assert of(found, "trichord_request_seconds_count", endpoint=endpoint) == requests
        assert of(found, "trichord_request_seconds_bucket", endpoint=endpoint, le="+Inf") == requests
        assert of(found, "trichord_request_seconds_sum", endpoint=endpoint) > 0


def test_events_are_counted_by_what_became_of_them(client):
    before = samples(client)
    assert of(before, "trichord_events_total", outcome="accepted") == 0
    event = {"event_id": "one", "user_id": "u00", "item_id": "i33", "kind": "click"}
    answer = client.post("/v1/recommendations", json={"user_id": "u00", "k": 1}).json()
    client.post("/v1/events", json=[event, event, {"kind": "click"}])
    client.post("/v1/events", json={**event, "event_id": "two", "request_id": answer["request_id"]})
    found = samples(client)
    expected = {"accepted": 2, "duplicate": 1, "rejected": 1, "unmatched": int(answer["items"][0]["item_id"] != "i33")}
    assert {one: of(found, "trichord_events_total", outcome=one) for one in expected} == expected


def test_what_is_held_and_how_old_it_is_is_told(client, engine):
    client.post("/v1/recommendations", json={"user_id": "u00"})
    found = samples(client)
    assert of(found, "trichord_release_info", release="first") == 1
    assert of(found, "trichord_release_age_seconds") > 0
    assert of(found, "trichord_newest_event_age_seconds") == pytest.approx(0, abs=1e-3)  # an archive keeps its time
    assert of(found, "trichord_held", what="answers") == 1
    assert of(found, "trichord_held", what="answer_vector_bytes") > 0
    assert of(found, "trichord_held", what="items") == 40
    assert of(found, "trichord_view_behind_seconds", view="user_activity") == pytest.approx(0, abs=1e-3)


def test_no_label_names_anybody(client):
    client.post("/v1/recommendations", json={"user_id": "u00"})
    client.post("/v1/events", json={"event_id": "secret", "user_id": "u00", "item_id": "i33", "kind": "click"})
    text = client.get("/metrics").text
    assert not any(one in text for one in ("u00", "i33", "secret"))


def test_metrics_are_there_before_a_release_and_name_their_worker(tmp_path, home):
    empty = Engine(home.model_copy(update={"home": tmp_path / "empty", "worker": "second"}))
    text = TestClient(create_app(empty)).get("/metrics").text
    assert 'trichord_held{what="answers",worker="second"} 0.0' in text
    assert "trichord_release_info{" not in text
