"""A candidate release that answers live requests too, unseen."""

import threading
import time
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from feature_repo import serving_settings
from ranking.errors import ArtifactError, NotReadyError
from ranking.serving import shadow as module
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.payloads import RankRequest, Recommended, Request, Response, Timings
from ranking.serving.shadow import Shadow, overlap

NOW = datetime(2024, 1, 1, tzinfo=UTC)


def response(ids, *, release="live", ms=2.0, request_id="00" * 16, fallbacks=()):
    items = [
        Recommended(
            item_id=one, rank=n, score=1, propensity=1, title=None, image=None, sources=[], reasons=[], rules=[]
        )
        for n, one in enumerate(ids, 1)
    ]
    timings = Timings(features=0, candidates=0, rank=0, strategy=0, total=ms)
    return Response(
        request_id=request_id,
        release=release,
        user_id=None,
        fallbacks=list(fallbacks),
        items=items,
        rules=[],
        timings_ms=timings,
    )


def shadowing(answer, **more):
    return Shadow(serving_settings.Shadow(release="next", **{"share": 1.0, **more}), answer)


@pytest.fixture
def beside(home, world):
    """An engine whose shadow is a second release of the same models."""
    world.publish(home, "second")
    setting = serving_settings.Shadow(release="second", share=1.0)
    engine = Engine(home.model_copy(update={"shadow": setting}))
    engine.load()
    return engine


def compared(engine, n):
    """Ask until so many answers are compared."""
    deadline = time.monotonic() + 60
    while engine.shadow.counts()["compared"] < n:
        engine.recommend(Request(user_id="u00", k=5))
        engine.shadow.wait()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_overlap_is_the_share_of_items_in_both_lists():
    assert overlap(response("abcd"), response("cdef")) == 0.5
    assert overlap(response("abc"), response("cab")) == 1
    assert overlap(response("ab"), response("abcd")) == 0.5
    assert overlap(response(""), response("")) == 1
    assert overlap(response("a"), response("")) == 0


def test_the_same_models_give_the_same_lists_also_after_events(beside):
    compared(beside, 1)
    for number in range(6):
        answer = beside.recommend(Request(user_id=f"u{number:02}", k=5))
        beside.accept([{"user_id": f"u{number:02}", "item_id": answer.items[0].item_id, "kind": "click"}])
    for number in range(6):
        beside.recommend(Request(user_id=f"u{number:02}", k=5))
    beside.recommend(Request(user_id="nobody", k=5))
    beside.shadow.wait()
    report = beside.shadow.report()
    assert report.failed == report.dropped == 0
    assert report.overlap == 1
    assert (report.live.release, report.shadow.release) == ("first", "second")
    assert report.live.fallbacks == report.shadow.fallbacks == {"unknown_user": 1}
    assert 0 < report.shadow.p50_ms <= report.shadow.p99_ms


def test_it_is_told_in_metrics_and_on_the_dashboard_and_counts_as_no_traffic(beside):
    client = TestClient(create_app(beside))
    compared(beside, 3)
    asked = beside.traffic.report().requests
    counts = beside.shadow.counts()
    assert sum(counts.values()) == asked
    assert len(beside.answers) == asked
    text = client.get("/metrics").text
    n = float(counts["compared"])
    assert f'trichord_shadow_requests_total{{outcome="compared",worker="main"}} {n}' in text
    assert f'trichord_shadow_answer_seconds_count{{side="shadow",worker="main"}} {n}' in text
    assert f'trichord_shadow_overlap_sum{{release="second",worker="main"}} {n}' in text
    told = client.get("/v1/dashboard").json()["shadow"]
    assert (told["compared"], told["overlap"], told["fault"]) == (n, 1.0, "")


def test_without_the_setting_there_is_nothing_of_it(settled):
    client = TestClient(create_app(settled))
    assert client.get("/v1/dashboard").json()["shadow"] is None
    assert "trichord_shadow" not in client.get("/metrics").text


def test_once_it_is_promoted_nothing_is_compared(beside, home):
    beside.releases.promote("second")
    beside.follow()
    beside.wait()
    assert beside.recommend(Request(user_id="u00")).release == "second"
    assert sum(beside.shadow.counts().values()) == 0


def test_a_release_that_is_not_there_is_told_and_not_tried_again_and_again(home, caplog):
    engine = Engine(home.model_copy(update={"shadow": serving_settings.Shadow(release="third", share=1.0)}))
    engine.load()
    for _ in range(5):
        assert len(engine.recommend(Request(user_id="u00", k=5)).items) == 5
    engine.shadow.wait()
    report = engine.shadow.report()
    assert (report.failed, report.compared, report.overlap) == (5, 0, None)
    assert "release 'third': not there" in report.fault
    assert sum("shadow release third does not answer" in text for text in caplog.messages) == 1


def test_a_full_queue_drops_and_counts_and_never_waits():
    going = threading.Event()

    def answer(request, now):
        going.wait(30)
        return response("ab", release="next")

    shadow = shadowing(answer, waiting=3)
    started = time.perf_counter()
    for _ in range(50):
        shadow.offer(Request(), response("ab"), NOW)
    assert time.perf_counter() - started < 1
    going.set()
    shadow.wait()
    counts = shadow.counts()
    assert counts["compared"] in (3, 4)  # one may have been taken out by then
    assert counts["dropped"] == 50 - counts["compared"]


def test_a_candidate_that_fails_in_any_way_is_counted_and_the_next_request_goes_on():
    errors = iter([IndexError("broken"), NotReadyError("soon"), ArtifactError("damaged"), None, None])

    def answer(request, now):
        if error := next(errors):
            raise error
        return response("bc", release="next", ms=4, fallbacks=["features"])

    shadow = shadowing(answer)
    for _ in range(2):
        shadow.offer(Request(), response("ab"), NOW)
    shadow.wait()
    assert shadow.report().fault == "IndexError: broken"
    for _ in range(2):
        shadow.offer(Request(), response("ab"), NOW)
    shadow.wait()
    assert shadow.report().fault == "damaged"
    assert shadow.counts() == {"compared": 0, "dropped": 0, "loading": 1, "failed": 3}  # it waits to be mended
    shadow._again_at = 0.0
    shadow.offer(Request(), response("ab"), NOW)
    shadow.wait()
    report = shadow.report()
    assert (report.compared, report.overlap, report.fault) == (1, 0.5, "")
    assert (report.live.p99_ms, report.shadow.p99_ms) == (2, 4)
    assert (report.live.fallbacks, report.shadow.fallbacks) == ({}, {"features": 1})
    assert module.AGAIN_S > 1


def test_its_share_is_drawn_by_the_requests_ids():
    shadow = shadowing(lambda request, now: response("a", release="next"), share=0.25, waiting=1000)
    for n in range(256):
        shadow.offer(Request(), response("a", request_id=f"{n:02x}" + "0" * 30), NOW)
    shadow.offer(RankRequest(items=("i01",)), response("a"), NOW)  # both would hold the same
    shadow.wait()
    assert sum(shadow.counts().values()) == 64
