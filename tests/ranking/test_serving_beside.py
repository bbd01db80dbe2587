"""Engines of several processes on one home: each knows at once what any of them was told, or made to forget."""

import hashlib
import threading

import pytest

from feature_repo import durable
from feature_repo.event_log import EventLog
from ranking.rankers import groups
from ranking.serving import forgotten
from ranking.serving.answer import UNKNOWN_USER
from ranking.serving.engine import Engine
from ranking.serving.forgotten import forget_in_release
from ranking.serving.payloads import Request


def ids(engine, user="u00"):
    return [item.item_id for item in engine.recommend(Request(user_id=user, k=5)).items]


def click(item, event_id, user="u00"):
    return {"event_id": event_id, "user_id": user, "item_id": item, "kind": "click"}


@pytest.fixture
def beside(home, engine):
    """A second engine on the same home."""
    other = Engine(home)
    other.load()
    return other


def test_an_event_told_to_one_engine_changes_the_answers_of_the_other(engine, beside):
    for number in range(3):
        told, asked = (engine, beside) if number % 2 else (beside, engine)
        first = ids(asked)[0]
        assert told.accept([click(first, f"new-{number}")]).accepted == 1
        assert first not in ids(asked)
        assert told.accept([click(first, f"new-{number}")]).duplicates == 1
        assert asked.accept([click(first, f"new-{number}")]).duplicates == 1
    assert ids(engine) == ids(beside)
    assert engine._last == beside._last
    assert len(engine.loaded.recorded.of(["u00"], [])) == len(beside.loaded.recorded.of(["u00"], []))


def test_a_log_that_is_moved_meanwhile_brings_no_event_twice(home, engine, beside):
    EventLog(home.events).compact()
    engine.accept([click("i10", "one")])
    EventLog(home.events).compact()
    beside.accept([click("i12", "two")])
    for one in (engine, beside):
        ids(one)
        assert len(one.loaded.recorded.of(["u00"], [])) == len(EventLog(home.events).read(users=["u00"]))


def test_online_rows_are_by_the_events_of_all_engines(engine, beside):
    engine.accept([click("i10", "one")])
    beside.accept([click("i12", "two")])
    later = engine.accept([click("i14", "three")])
    assert later.fallbacks == []
    row = engine.lookup({"user_id": "u00"})
    assert row["user_positives"] == 8 + 3


def test_many_threads_and_two_engines_count_each_event_once(home, engine, beside):
    def told(which, number):
        which.accept([click(f"i{number:02}", f"e-{number}-{which is engine}", user="crowd")])
        assert "crowd" in which.loaded.histories

    threads = [threading.Thread(target=told, args=(one, n)) for n in range(12) for one in (engine, beside)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in (engine, beside):
        ids(one)
        assert len(one.loaded.recorded.of(["crowd"], [])) == 24
        assert len(one.loaded.histories.of("crowd")) == 24


def test_a_forgotten_user_is_a_newcomer_at_the_next_request(home, engine, beside):
    newcomer = ids(engine, user="nobody")
    assert ids(engine) != newcomer
    for folder in home.releases.iterdir():
        if folder.is_dir():
            assert forget_in_release(folder, ["u00"]) == 1
    before = len(engine.loaded.recorded.of(["u01"], []))
    assert EventLog(home.events).forget(["u00"]) == 16
    for one in (engine, beside):
        answered = one.recommend(Request(user_id="u00", k=5))
        assert answered.fallbacks == [UNKNOWN_USER]
        assert "u00" not in one.loaded.histories
        assert len(one.loaded.recorded.of(["u00"], [])) == 0
        assert len(one.loaded.recorded.of(["u01"], [])) == before
    for thread in threading.enumerate():
        if thread.name == "load-release":
            thread.join()
    for one in (engine, beside):
        assert "u00" not in str(one.loaded.hybrid.knowledge)
        assert one.refused == ""


def test_a_release_without_a_user_is_whole_and_says_the_same_of_others(home, engine):
    release = engine.releases.current()
    before = groups.Groups.load(release.folder / "hybrid")
    assert forget_in_release(release.folder, ["u03", "unheard-of"], erase=False) == 1
    assert b'"u03"' in (release.folder / "hybrid" / groups.FILE).read_bytes()
    assert forget_in_release(release.folder, ["u03", "unheard-of"]) == 1
    release.verify()
    after = groups.Groups.load(release.folder / "hybrid")
    assert set(before.users) - set(after.users) == {"u03"}
    for name, values in before.attributes.items():
        known = dict(zip(before.users, values, strict=True))
        assert after.attributes[name] == tuple(known[user] for user in after.users)
    assert forget_in_release(release.folder, ["u03"]) == 0
    engine.load()


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_release_that_was_killed_on_the_way_is_finished_by_the_next_run(home, engine, monkeypatch, survives):
    """Killed before the new checksums, before the file, before they took the old ones' place."""
    release = engine.releases.current()
    writes = []

    def killed(path, content):
        if len(writes) == survives:
            raise KeyboardInterrupt
        writes.append(path)
        durable.write_durably(path, content)

    def not_reached(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(forgotten, "write_durably", killed)
        patched.setattr(forgotten, "_take_over", not_reached)
        with pytest.raises(KeyboardInterrupt):
            forget_in_release(release.folder, ["u03"])
    forget_in_release(release.folder, ["u03"])
    release.verify()
    assert b'"u03"' not in (release.folder / "hybrid" / groups.FILE).read_bytes()
    assert not (release.folder / forgotten.NEXT).exists()
    listed = (release.folder / "SHA256SUMS").read_text()
    assert hashlib.sha256((release.folder / "hybrid" / groups.FILE).read_bytes()).hexdigest() in listed
