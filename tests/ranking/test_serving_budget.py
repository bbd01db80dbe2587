"""Answers in a budget: what is late is left out and said, and a page is never empty."""

import threading
import time

import pytest
from fastapi.testclient import TestClient

from feature_repo.errors import StoreUnavailableError
from feature_repo.serving_settings import Budget
from feature_repo.settings import load_settings
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.limits import Limits, Pace
from ranking.serving.made import FEATURES, RANK
from ranking.serving.payloads import RankRequest, Request
from ranking.serving.stopwatch import Stopwatch
from ranking.serving.store_calls import StoreCalls

LONG_MS = 60_000.0


def engine_of(home, **budget):
    engine = Engine(home.model_copy(update={"budget": Budget(**budget)}))
    engine.load()
    return engine


def slow(engine, monkeypatch, seconds):
    """Let reads of features take as long as `seconds` says."""
    read = engine.loaded.store.online_columns

    def late(*one, **more):
        time.sleep(seconds())
        return read(*one, **more)

    monkeypatch.setattr(engine.loaded.store, "online_columns", late)


def ids(response):
    return [item.item_id for item in response.items]


def test_a_generous_budget_changes_no_answer(home, settled):
    engine = engine_of(home, ms=LONG_MS)
    for number in range(10):
        request = Request(user_id=f"u{number:02}", k=10)
        assert engine.recommend(request).items == settled.recommend(request).items


def test_a_slow_store_is_not_waited_for(home, world, monkeypatch):
    engine, delay = engine_of(home, ms=300, store_ms=10_000), 0.0
    slow(engine, monkeypatch, lambda: delay)
    assert engine.recommend(Request(user_id="u00", k=10)).fallbacks == []
    delay = 2.0
    started = time.perf_counter()
    answer = engine.recommend(Request(user_id="u00", k=10))
    assert time.perf_counter() - started < 1.5
    assert answer.fallbacks == [FEATURES]
    assert len(answer.items) == 10
    assert not set(ids(answer)) & world.seen("u00")
    text = TestClient(create_app(engine)).get("/metrics").text
    assert 'trichord_fallbacks_total{name="features",worker="main"} 1.0' in text
    assert 'trichord_store_calls_total{call="read",outcome="late",worker="main"} 1.0' in text


def test_a_hung_store_costs_each_request_nothing_once_it_is_known(home, monkeypatch):
    engine, wakes = engine_of(home, ms=LONG_MS, store_ms=200, store_retry_s=0.1), threading.Event()
    slow(engine, monkeypatch, lambda: wakes.wait(60) and 0.0)
    before, times = threading.active_count(), []
    for _ in range(40):
        started = time.perf_counter()
        answer = engine.recommend(Request(user_id="u00", k=5))
        times.append(time.perf_counter() - started)
        assert answer.fallbacks == [FEATURES] and len(answer.items) == 5
    assert sum(one > 0.19 for one in times) == 1  # the first
    assert threading.active_count() <= before + Budget().store_threads
    assert engine.reads.open
    client = TestClient(create_app(engine))
    assert 'trichord_store_breaker_open{call="read",worker="main"} 1.0' in client.get("/metrics").text
    assert "does not answer" in client.get("/v1/dashboard").json()["freshness_fault"]
    assert client.post("/get-online-features", json={"entities": {"user_id": ["u00"]}}).status_code == 503
    wakes.set()
    deadline = time.monotonic() + 20
    while engine.recommend(Request(user_id="u00", k=5)).fallbacks:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert not engine.reads.open


@pytest.mark.parametrize("request_", [Request(user_id="u00", k=7), RankRequest(user_id="u00", items=("i30", "i01"))])
def test_out_of_time_the_order_is_that_of_the_candidates(home, world, request_):
    engine = engine_of(home, ms=LONG_MS)
    whole = engine.recommend(request_)
    engine.loaded.limits.pace.note("rank", 100 * LONG_MS)
    answer = engine.recommend(request_)
    assert answer.fallbacks == [FEATURES]  # they would have come too late to be ranked by
    assert len(answer.items) == len(whole.items)

    tight = engine_of(home, ms=0.001)
    answer = tight.recommend(request_)
    assert answer.fallbacks == [FEATURES]
    assert len(answer.items) == len(whole.items)
    assert ids(answer) == ids(engine.recommend(request_))


def test_ranking_is_left_out_when_the_features_have_used_up_the_time(home, world, monkeypatch):
    engine = engine_of(home, ms=LONG_MS)
    pace = engine.loaded.limits.pace
    slow(engine, monkeypatch, lambda: pace.note("rank", 100 * LONG_MS) or 0.0)
    answer = engine.recommend(Request(user_id="u00", k=7, explain=True))
    assert answer.fallbacks == [RANK]
    assert len(answer.items) == 7
    assert all(item.reasons for item in answer.items)
    assert not set(ids(answer)) & world.seen("u00")
    assert engine.traffic.fallbacks() == {RANK: 1}
    assert engine.explain(answer.request_id).items


def test_what_seemed_too_slow_is_tried_again_in_the_end():
    limits = Limits(StoreCalls("reads", Budget(), threads=0), budget_ms=100.0)
    limits.pace.note("rank", 1000.0)
    tries = next(n for n in range(1000) if limits.may_rank(Stopwatch(100.0)))
    assert 20 < tries < 30  # 1000 ms x 0.9^n < 100 ms


def test_a_pace_follows_the_latest_times():
    pace = Pace()
    assert pace.of("rank", "strategy") == 0
    pace.note("rank", 10.0)
    assert pace.of("rank") == 10
    for _ in range(100):
        pace.note("rank", 20.0)
    assert pace.of("rank") == pytest.approx(20, abs=0.01)


def test_without_a_budget_nothing_is_limited():
    limits = Limits(StoreCalls("reads", Budget(), threads=0))
    limits.pace.note("rank", 1e9)
    assert limits.may_rank(Stopwatch())
    assert limits.of_features(Stopwatch()) is None


def test_the_packed_store_has_threads_only_under_a_budget(home, settled):
    assert settled.reads._threads is None and settled._writes._threads is None
    assert StoreCalls.reads(home.model_copy(update={"budget": Budget(ms=100)}))._threads is not None
    remote = home.model_copy(update={"online_store": "redis"})
    assert StoreCalls.reads(remote)._threads is not None
    assert StoreCalls.writes(remote)._threads is not None


def test_it_is_set_by_variables(monkeypatch, tmp_path):
    monkeypatch.setenv("TRICHORD_BUDGET_MS", "250")
    monkeypatch.setenv("TRICHORD_BUDGET_STORE_MS", "80")
    monkeypatch.setenv("TRICHORD_GOLDEN_MS", "900")
    monkeypatch.setenv("TRICHORD_SHADOW_RELEASE", "20260301T033512")
    settings = load_settings(tmp_path)
    assert settings.budget == Budget(ms=250, store_ms=80)
    assert settings.golden.ms == 900
    assert (settings.shadow.release, settings.shadow.share) == ("20260301T033512", 0.1)


def test_what_events_change_is_made_up_for_when_the_store_answers_again(home, monkeypatch):
    engine = engine_of(home, store_retry_s=0.05)
    push = engine.loaded.store.push_all

    def down(rows, **more):
        raise StoreUnavailableError("down")

    with monkeypatch.context() as patched:
        patched.setattr(engine.loaded.store, "push_all", down)
        for item in ("i31", "i33"):
            receipt = engine.accept([{"user_id": "u00", "item_id": item, "kind": "click"}])
            assert (receipt.accepted, receipt.fallbacks) == (1, [FEATURES])
    assert engine.loaded.store.push_all == push
    assert engine._refresher.owes == 3  # a user and two items
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == 8
    deadline = time.monotonic() + 20
    while engine._refresher.owes:
        engine.recommend(Request(user_id="u05", k=1))
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == 10
    assert engine.lookup({"item_id": "i31"})["item_interactions"] >= 1
