"""Who may ask over HTTP, how often and in what form."""

import json
import logging
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.errors import SettingsError
from feature_repo.settings import Access, ApiKey, Scope, Settings, load_settings
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.guard.access import Guard, check_address
from ranking.serving.guard.buckets import MAX_BUCKETS, Buckets
from ranking.serving.guard.depth import MAX_DEPTH, depth_of
from ranking.serving.guard.headers import SECURITY, SecurityHeaders
from ranking.serving.guard.keys import Keyring, scope_of

READER, TELLER, ADMIN = "reader-secret-0123456789", "teller-secret-0123456789", "admin-secret-0123456789"
KEYS = {
    "page": ApiKey(secret=READER),
    "shop": ApiKey(secret=TELLER, scopes=("events",)),
    "operator": ApiKey(secret=ADMIN, scopes=("admin",)),
}


@pytest.fixture
def guarded(settled):
    """The API of a deployment with keys."""
    settings = settled.settings.model_copy(update={"api": Access(keys=KEYS)})
    engine = Engine(settings, wall=settled._wall, served=settled.served)
    engine.load()
    return TestClient(create_app(engine))


def problem(answer, status):
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


@pytest.mark.parametrize("headers", [bearer(READER), {"X-API-Key": READER}, {"authorization": f"bearer  {READER} "}])
def test_a_key_opens_what_it_is_for(guarded, headers):
    assert guarded.post("/v1/recommendations", json={"user_id": "u00"}, headers=headers).status_code == 200
    assert guarded.get("/v1/items/i00/similar", headers=headers).status_code == 200
    assert "'page' has not the scope events" in problem(guarded.post("/v1/events", json=[], headers=headers), 403)


def test_each_scope_opens_its_own_and_admin_opens_all(guarded):
    def status(method, path, secret):
        return guarded.request(method, path, json={"user_id": "u00"}, headers=bearer(secret)).status_code

    assert status("POST", "/v1/recommendations", TELLER) == 403
    assert status("POST", "/v1/events", TELLER) == 422  # it came so far that its fields were looked at
    assert status("POST", "/v1/recommendations", ADMIN) == 200
    assert status("POST", "/v1/events", ADMIN) == 422
    assert status("GET", "/metrics", TELLER) == 403
    assert status("GET", "/v1/admin/anything", READER) == 403
    assert status("GET", "/v1/admin/anything", ADMIN) == 404


def test_without_a_known_key_only_health_and_documentation_answer(guarded):
    for path in ("/health/live", "/health/ready", "/openapi.json", "/docs"):
        assert guarded.get(path).status_code == 200
    for path in ("/v1/items/i00/similar", "/metrics", "/nowhere", "/v1/admin/x", "/health", "//v1/events"):
        answer = guarded.get(path)
        assert "no API key; send one of scope" in problem(answer, 401)
        assert answer.headers["www-authenticate"] == 'Bearer realm="trichord"'
    wrong = guarded.post("/v1/recommendations", json={}, headers=bearer(READER[:-1]))
    assert "an unknown API key" in problem(wrong, 401)
    assert 'error="invalid_token"' in wrong.headers["www-authenticate"]
    assert guarded.get("/v1/items/i00/similar", headers={"Authorization": f"Basic {READER}"}).status_code == 401
    assert guarded.get("/v1/items/i00/similar", headers={"X-API-Key": b"\xff\xfe"}).status_code == 401


def test_what_lacks_a_scope_is_told_which(guarded):
    answer = guarded.post("/v1/events", json=[], headers=bearer(READER))
    assert answer.headers["www-authenticate"] == 'Bearer realm="trichord", error="insufficient_scope", scope="events"'


@given(st.text(st.characters(codec="ascii", categories=("L", "N", "P")), min_size=1))
def test_a_path_that_nobody_thought_of_needs_a_key(path):
    assert scope_of("/v1/" + path) is not None


def test_secrets_are_never_shown_nor_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("TRICHORD_API_KEYS", json.dumps({"page": {"secret": READER, "scopes": ["read", "events"]}}))
    monkeypatch.setenv("TRICHORD_API_REQUESTS_PER_S", "2.5")
    settings = load_settings(tmp_path)
    assert Keyring(settings.api.keys).holder(READER).scopes == {Scope.READ, Scope.EVENTS}
    assert Keyring(settings.api.keys).holder(READER + " ") is None
    assert settings.api.requests_per_s == 2.5
    assert READER not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("TRICHORD_API_KEYS", '{"page": {"secret": "tooshort-1"}}', "at least 16"),
        ("TRICHORD_API_KEYS", '{"page": {"secret": "pass-with-a-tab\\tand-more-of-it"}}', "printable"),
        ("TRICHORD_API_KEYS", '{"page": {"secret": "long-enough-secret-1", "scopes": ["write"]}}', "scopes"),
        ("TRICHORD_API_KEYS", '{"page": {"secret": "long-enough-secret-1", "scopes": []}}', "scopes"),
        ("TRICHORD_API_KEYS", '{"page": {"secrets": "long-enough-secret-1"}}', "secret"),
        ("TRICHORD_API_KEYS", "long-enough-secret-1", "JSON"),
        ("TRICHORD_API_KEYS", '"long-enough-secret-1"', "api"),
        ("TRICHORD_API_REQUESTS_PER_S", "0", "greater than 0"),
    ],
)
def test_a_wrong_key_in_the_settings_is_one_line_without_it(monkeypatch, variable, value, told):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    text = str(caught.value)
    assert told in text
    assert "\n" not in text
    assert not any(part in text for part in ("tooshort", "pass-with", "long-enough"))


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "::", "example.org", ""])
def test_an_address_that_others_reach_needs_a_key_or_consent(host):
    with pytest.raises(SettingsError, match=r"no API key is set.*--open"):
        check_address(host, Access(), open_to_all=False)
    check_address(host, Access(), open_to_all=True)
    check_address(host, Access(keys=KEYS), open_to_all=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"])
def test_loopback_is_open(host):
    check_address(host, Access(), open_to_all=False)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self):
        return self.now


@given(
    rate=st.floats(0.1, 50),
    burst=st.integers(1, 20),
    steps=st.lists(st.floats(0, 3), max_size=60),
)
def test_a_bucket_gives_what_flowed_in_and_never_more(rate, burst, steps):
    """Against a bucket that is filled step by step."""
    clock = Clock()
    buckets, tokens = Buckets(rate, burst, clock=clock), float(burst)
    for step in steps:
        clock.now += step
        tokens = min(burst, tokens + step * rate)
        wait = buckets.take("one")
        if abs(tokens - 1) > 1e-6:
            assert (wait == 0) == (tokens >= 1)
        if wait:
            assert wait == pytest.approx((1 - tokens) / rate, abs=1e-6)
        else:
            tokens -= 1


def test_askers_have_a_bucket_each_and_memory_is_bounded():
    buckets = Buckets(1, 1, clock=Clock())
    assert all(buckets.take(f"{n}") == 0 for n in range(MAX_BUCKETS + 50))
    assert len(buckets._full_at) == MAX_BUCKETS
    assert buckets.take(f"{MAX_BUCKETS + 49}") == 1


def test_who_asks_too_often_is_told_when_to_ask_again():
    clock, app = Clock(), FastAPI()
    app.add_middleware(Guard, access=Access(keys=KEYS, requests_per_s=0.5, burst=2), clock=clock)
    app.get("/v1/thing")(lambda: "here")
    app.get("/health/live")(lambda: "live")
    client = TestClient(app)
    assert [client.get("/v1/thing", headers=bearer(READER)).status_code for _ in range(3)] == [200, 200, 429]
    answer = client.get("/v1/thing", headers=bearer(READER))
    assert "by key 'page'" in problem(answer, 429)
    assert answer.headers["retry-after"] == "2"
    assert client.get("/v1/thing", headers=bearer(ADMIN)).status_code == 200  # another's bucket
    guesses = [client.get("/v1/thing", headers=bearer(f"guess number {n} of them")).status_code for n in range(4)]
    assert guesses == [401, 401, 429, 429]
    assert client.get("/health/live").status_code == 200
    clock.now += 2
    assert client.get("/v1/thing", headers=bearer(READER)).status_code == 200


@pytest.mark.parametrize("path", ["/v1/items/i00/similar", "/health/live", "/nowhere", "/docs", "/v1/recommendations"])
def test_every_answer_tells_browsers_to_keep_to_this_server(settled, path):
    answer = TestClient(create_app(settled)).get(path)
    for name, value in SECURITY.items():
        assert answer.headers[name].startswith(value)
    assert ("cdn.jsdelivr.net" in answer.headers["Content-Security-Policy"]) == (path == "/docs")


def test_a_fault_of_ours_has_these_headers_too(settled, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(settled, "similar", broken)
    answer = TestClient(create_app(settled), raise_server_exceptions=False).get("/v1/items/i00/similar")
    problem(answer, 500)
    assert SECURITY.items() <= {name.title(): value for name, value in answer.headers.items()}.items()


@given(st.recursive(st.text(max_size=5), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner)))
def test_depth_is_that_of_the_value(value):
    def depth(one):
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert depth_of(json.dumps(value).encode()) == depth(value)
    assert depth_of(json.dumps(value, ensure_ascii=False).encode()) == depth(value)


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/events", "/get-online-features"])
def test_what_is_nested_too_deep_reaches_no_handler(settled, path):
    client = TestClient(create_app(settled))
    deep = b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1)
    for body in (b'{"k": ' + deep + b"}", deep, b'["\\"[", ' + deep + b"]"):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert f"deeper than {MAX_DEPTH}" in problem(answer, 400)
    just = b'{"k": ' + b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1) + b"}"
    assert client.post(path, content=just, headers={"content-type": "application/json"}).status_code == 422
    wide = json.dumps('{"k": [[['.encode("utf-16").decode("latin-1")).encode("utf-16")
    answer = client.post(path, content=wide, headers={"content-type": "application/json"})
    assert "UTF-8" in problem(answer, 400)


def test_the_log_names_no_secret_and_no_history(guarded, caplog):
    with caplog.at_level(logging.DEBUG, logger="ranking"):
        body = {"session": ["i02", "i04"], "context": {"device": "tv", "place": "at the sea"}}
        assert guarded.post("/v1/recommendations", json=body, headers=bearer(READER)).status_code == 200
        event = {"user_id": "u00", "item_id": "i02", "kind": "click", "place": "at the sea"}
        guarded.post("/v1/events", json=event, headers=bearer("a secret that nobody knows"))
    assert caplog.records
    assert not any(part in caplog.text for part in (READER, "nobody knows", "at the sea", "i04"))


def test_settings_without_keys_ask_for_none(settled):
    assert settled.settings.api == Settings().api == Access()
    assert TestClient(create_app(settled)).post("/v1/recommendations", json={}).status_code == 200


def test_what_an_answer_says_itself_is_left_as_it_is():
    async def page(scope, receive, send):
        own = [(b"X-Content-Type-Options", b"mine"), (b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": own})
        await send({"type": "http.response.body", "body": b""})

    headers = TestClient(SecurityHeaders(page)).get("/").headers
    assert headers["X-Content-Type-Options"] == "mine"
    assert {name: headers[name] for name in SECURITY if name != "X-Content-Type-Options"} == {
        name: value for name, value in SECURITY.items() if name != "X-Content-Type-Options"
    }
