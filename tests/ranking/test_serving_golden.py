"""Golden requests: a release that does not answer them well is never served."""

import json
import time
from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from feature_repo.serving_settings import Golden
from ranking.errors import UnfitError
from ranking.serving import engine as module
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.golden import GoldenRequests
from ranking.serving.payloads import Request
from ranking.strategy.arrange import Page


def checked(engine, settings=None, *, live=None):
    """Let the engine's release answer golden requests; what was counted."""
    settings = settings or engine.settings
    requests = GoldenRequests(settings.golden, settings.golden_requests)
    requests.check(engine.loaded, live=live, now=engine.now())
    return requests.counts()


def settled_as(engine, release, *, refused=False):
    """Ask until a release answers, or is refused."""
    deadline = time.monotonic() + 60
    while (engine.loading.refused.id if refused else engine.recommend(Request(k=1)).release) != release:
        engine.follow()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    engine.wait()


def test_known_users_newcomers_and_a_session_are_drawn_the_same_each_time(settled, home):
    requests = GoldenRequests(Golden(users=4), home.golden_requests)
    one, two = (requests.requests(settled.loaded) for _ in range(2))
    assert one == two
    asked = {named.name: named.request for named in one}
    assert [asked[f"known user {n}"].user_id for n in (1, 2, 3, 4)] == ["u00", "u07", "u14", "u21"]
    assert asked["a newcomer"].user_id not in settled.loaded.histories
    assert asked["nobody known"] == Request()
    assert asked["a session"].session == ("i00", "i13", "i26")
    assert checked(settled) == {"passed": 5 + 3, "failed": 0}


def test_requests_of_the_home_take_the_place_of_drawn_ones(home, engine):
    lines = [{"user_id": "u03", "k": 3, "rules": ["cap categories at 2"]}, {"session": ["i01"]}]
    home.golden_requests.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n")
    requests = engine.golden.requests(engine.loaded)
    assert [named.request for named in requests] == [Request(**line) for line in lines]
    assert [named.name for named in requests] == ["golden.jsonl, line 1", "golden.jsonl, line 3"]
    assert checked(engine) == {"passed": 2, "failed": 0}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: JSON: Invalid JSON"),
        ('{"k": 0}', "line 2: k: Input should be greater than or equal to 1"),
        ('{"who": "u00"}', "line 2: who: Extra inputs"),
        ('{"release": "first"}', "line 2: release: every release is asked; leave it out"),
        ('{"session": ["gone"]}', "golden.jsonl, line 2: session: item 'gone' is not in the catalogue"),
        ('{"rules": ["only where categories has \'none\'"]}', "line 2: "),
    ],
)
def test_a_line_that_cannot_be_answered_is_named(home, engine, line, told):
    home.golden_requests.write_text("{}\n" + line)
    with pytest.raises(UnfitError) as caught:
        checked(engine)
    assert told in str(caught.value)


def faulty(engine, monkeypatch, change):
    """Let pages be changed before they are sent."""
    page = engine.loaded.pages.page
    monkeypatch.setattr(engine.loaded.pages, "page", lambda *one, **more: change(page(*one, **more), one[1]))


FAULTS = {
    "an empty page": lambda page, query: Page([], []),
    "no finite number": lambda page, query: Page([replace(page.seats[0], score=float("nan")), *page.seats[1:]], []),
    "an item twice": lambda page, query: Page([*page.seats, page.seats[0]], []),
    "items that were seen": lambda page, query: (
        Page([replace(page.seats[0], item=int(query.item[0])), *page.seats[1:]], []) if len(query.item) else page
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_an_answer_that_nobody_should_see_fails(engine, monkeypatch, fault):
    faulty(engine, monkeypatch, FAULTS[fault])
    with pytest.raises(UnfitError, match=fault) as caught:
        checked(engine)
    assert "u00" not in str(caught.value)  # it is shown to anybody who asks for readiness


def test_an_answer_that_takes_too_long_three_times_fails(engine, monkeypatch):
    hurried = engine.settings.model_copy(update={"golden": Golden(ms=0.001)})
    with pytest.raises(UnfitError, match=r"took \d+ ms, more than golden.ms = 0.001"):
        checked(engine, hurried)
    slow = iter([0.3])
    page = engine.loaded.pages.page
    monkeypatch.setattr(
        engine.loaded.pages, "page", lambda *one, **more: time.sleep(next(slow, 0)) or page(*one, **more)
    )
    assert checked(engine, engine.settings.model_copy(update={"golden": Golden(ms=250)}))["failed"] == 0


def test_a_fallback_that_the_live_release_has_not_fails(engine, caplog):
    live, release = engine.loaded, engine.loaded.release
    manifest = release.manifest.model_copy(update={"service": "of_another_repo"})
    unserved = replace(live, release=replace(release, manifest=manifest))
    requests = GoldenRequests(Golden(users=1), engine.settings.golden_requests)
    with pytest.raises(UnfitError, match="4 of 4 golden requests failed: known user 1: answered without features"):
        requests.check(unserved, live=live, now=engine.now())
    caplog.clear()
    requests.check(unserved, live=unserved, now=engine.now())  # it is not worse than what is served
    requests.check(unserved, live=None, now=engine.now())  # better than no answer at all
    assert sum("answers without features" in text for text in caplog.messages) == 2
    assert requests.counts() == {"passed": 8, "failed": 4}


def test_a_user_who_has_seen_everything_and_rules_of_the_house_make_empty_pages_rightly(home, engine, world):
    events = [{"user_id": "u00", "item_id": f"i{n:02}", "kind": "click"} for n in range(40)]
    assert engine.accept(events).accepted == 40
    assert engine.recommend(Request(user_id="u00")).items == []
    home.rules.write_text("exclude where categories has 'north'\nexclude where categories has 'south'\n")
    assert engine.recommend(Request(user_id="u01")).items == []
    assert checked(engine)["failed"] == 0


def test_a_release_that_fails_is_not_served_and_the_old_one_goes_on(home, engine, world, monkeypatch):
    releases, client = world.publish(home, "second"), TestClient(create_app(engine))
    home.golden_requests.write_text('{"session": ["i01"]}\n{"session": ["gone"]}\n')
    releases.promote("second")
    settled_as(engine, "second", refused=True)
    ready = client.get("/health/ready").json()
    assert ready["release"] == "first"
    assert "release second: 1 of 2 golden requests failed" in ready["refused"]
    assert "'gone' is not in the catalogue" in ready["refused"]
    assert client.get("/v1/dashboard").json()["refused"] == ready["refused"]
    text = client.get("/metrics").text
    assert 'trichord_releases_total{outcome="refused",worker="main"} 1.0' in text
    assert 'trichord_golden_requests_total{outcome="failed",worker="main"} 1.0' in text

    releases.rollback()
    engine.follow()
    assert engine.refused == ""
    home.golden_requests.unlink()
    releases.promote("second")
    settled_as(engine, "second")
    assert engine.refused == ""
    assert engine.loading.counts() == {"served": 2, "refused": 1}


def test_a_ranker_that_fails_in_an_unforeseen_way_refuses_the_release_once(home, engine, world, monkeypatch):
    loads = []

    def failing(*_, **__):
        raise IndexError("no such tree")

    world.publish(home, "second").promote("second")
    opened = module.opened

    def counted(*one, **more):
        loads.append(one[0].id)
        fresh = opened(*one, **more)
        fresh.pages.page = failing
        return fresh

    monkeypatch.setattr(module, "opened", counted)
    settled_as(engine, "second", refused=True)
    assert "IndexError: no such tree" in engine.refused
    for _ in range(20):
        assert engine.recommend(Request(user_id="u00")).release == "first"
    engine.wait()
    assert loads == ["second"]


def test_nothing_is_asked_where_the_check_is_off(home, world):
    home.golden_requests.write_text("no JSON\n")
    engine = Engine(home)
    with pytest.raises(UnfitError, match="line 1"):
        engine.load()
    off = Engine(home.model_copy(update={"golden": Golden(check=False)}))
    off.load()
    assert off.golden.counts() == {"passed": 0, "failed": 0}
