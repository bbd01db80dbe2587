"""The engine on a small real home: what it recommends, what events change, and how it follows releases."""

import shutil
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from feature_repo.event_log import EventLog
from feature_repo.served import ServedLog
from feature_repo.settings import Sampling, Settings
from ranking.errors import ArtifactError, NotReadyError, UnknownEntityError
from ranking.rankers.trees import REFERENCE
from ranking.serving.answer import UNKNOWN_USER
from ranking.serving.engine import Engine
from ranking.serving.made import FEATURES
from ranking.serving.payloads import Context, Request, Response
from ranking.serving.reasons import FOUND_BY, WORDS
from ranking.strategy.generators import GENERATORS

LAST_EVENT = datetime(2024, 1, 22, 23, 59, tzinfo=UTC)


def ids(response: Response) -> list[str]:
    return [item.item_id for item in response.items]


def click(user: str, item: str, **more: object) -> dict[str, object]:
    return {"user_id": user, "item_id": item, "kind": "click", **more}


def test_seen_items_are_never_recommended(settled, world):
    for user in (f"u{n:02}" for n in range(30)):
        answer = settled.recommend(Request(user_id=user, k=100))
        assert answer.fallbacks == []
        assert ids(answer)
        assert not set(ids(answer)) & world.seen(user)


def test_an_answer_is_ranked_and_tells_where_each_item_came_from(settled):
    answer = settled.recommend(Request(user_id="u03", k=7))
    assert answer.release == "first"
    assert [item.rank for item in answer.items] == list(range(1, 8))
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    for item in answer.items:
        assert item.propensity == 1.0
        assert item.title == f"Title {int(item.item_id[1:])}"
        assert item.sources and item.reasons
        assert [source.rank for source in item.sources] == sorted(source.rank for source in item.sources)


def test_most_of_an_answer_is_of_the_users_camp(settled):
    for user in range(4):
        answer = settled.recommend(Request(user_id=f"u{user:02}", k=8))
        assert np.mean([int(item_id[1:]) % 2 == user % 2 for item_id in ids(answer)]) >= 0.75


def test_the_same_request_has_the_same_answer(settled):
    one, two = (settled.recommend(Request(user_id="u05", k=10)) for _ in range(2))
    assert one.items == two.items
    assert one.request_id != two.request_id


def test_an_unknown_user_is_answered_as_a_newcomer(settled):
    answer = settled.recommend(Request(user_id="nobody", k=5))
    assert answer.fallbacks == [UNKNOWN_USER]
    assert len(answer.items) == 5
    assert ids(answer) == ids(settled.recommend(Request(k=5)))


def test_a_session_is_answered_like_its_camp_and_without_its_items(settled):
    answer = settled.recommend(Request(session=("i01", "i03", "i05"), k=6))
    assert answer.user_id is None
    assert answer.fallbacks == []
    assert not set(ids(answer)) & {"i01", "i03", "i05"}
    assert np.mean([int(item_id[1:]) % 2 for item_id in ids(answer)]) >= 0.75


def test_an_unknown_item_in_a_session_is_named(settled):
    with pytest.raises(UnknownEntityError, match=r"'i99'.*release first"):
        settled.recommend(Request(session=("i01", "i99")))


def test_the_moment_of_a_request_changes_surroundings_not_what_is_known(settled, world):
    past = Context(at=datetime(2024, 1, 3, 9, tzinfo=UTC))
    answer = settled.recommend(Request(user_id="u00", k=100, context=past))
    assert not set(ids(answer)) & world.seen("u00")


def test_reasons_are_told_in_words_when_asked_for(settled):
    request = Request(user_id="u00", k=5, explain=True, context=Context(device="mobile"))
    answer = settled.recommend(request)
    assert ids(answer) == ids(settled.recommend(request.model_copy(update={"explain": False})))
    told = [reason for item in answer.items for reason in item.reasons]
    assert all("{" not in reason for reason in told)
    assert any("Title" in reason for reason in told)


def test_every_generator_and_every_told_feature_has_words(settled, world):
    assert FOUND_BY.keys() == GENERATORS.keys()
    read = {name.removesuffix("_in_slate") for name in world.hybrid.ranker.names}
    assert WORDS.keys() - read <= {"text_similarity", "audio_similarity"}  # modalities that this world lacks


def test_contributions_sum_to_the_score_less_that_of_the_reference(settled, world):
    slates, trees = _slates(settled, world), world.hybrid.ranker
    score = trees.score(slates.features, slates.groups)
    reference = np.linspace(0, len(score) - 1, REFERENCE).astype(int)
    added = trees.contributions(slates.features, np.arange(len(score)))
    np.testing.assert_allclose(added.sum(axis=1), score - score[reference].mean(), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(trees.contributions(slates.features, np.array([3, 1])), added[[3, 1]])


def _slates(settled, world):
    from ranking.serving.answer import _features, _query

    request, now = Request(user_id="u01"), settled.now()
    query = _query(settled.loaded, request, now)
    candidates = world.hybrid.retrieve(query)
    stored = _features(settled.loaded, request, candidates, query, now)
    return world.hybrid.order(candidates, query, stored, k=5).slates


def test_a_posted_event_changes_the_same_users_next_answer(engine):
    before = engine.recommend(Request(user_id="u00", k=5))
    receipt = engine.accept([click("u00", before.items[0].item_id)])
    assert (receipt.accepted, receipt.duplicates, receipt.rejected, receipt.fallbacks) == (1, 0, [], [])
    after = engine.recommend(Request(user_id="u00", k=5))
    assert before.items[0].item_id not in ids(after)
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == 9


def test_a_newcomers_first_event_is_seen_by_the_next_request(engine):
    engine.accept([click("new", "i01"), click("new", "i03"), click("new", "i05")])
    answer = engine.recommend(Request(user_id="new", k=6))
    assert answer.fallbacks == []
    assert not set(ids(answer)) & {"i01", "i03", "i05"}
    assert np.mean([int(item_id[1:]) % 2 for item_id in ids(answer)]) >= 0.75


def test_an_accepted_event_is_on_disk(engine, home):
    engine.accept([click("u00", "i35", event_id="mine", device="tv", value=1.5)])
    (event,) = EventLog(home.events).read(users=["u00"], items=["i35"]).to_pylist()
    assert (event["event_id"], event["kind"], event["device"], event["value"]) == ("mine", "click", "tv", 1.5)
    again = Engine(home)
    again.load()
    assert "i35" not in ids(again.recommend(Request(user_id="u00", k=100)))


def test_online_features_after_an_event_are_those_computed_from_the_whole_log(engine, home, world):
    from feature_repo import compute
    from feature_repo.labels import label_events

    engine.accept([click("u07", "i36"), {"user_id": "u07", "item_id": "i38", "kind": "impression"}])
    events = label_events(EventLog(home.events).read(), list(engine.loaded.kinds.values()))
    wanted = compute.rows_at(events, world.items, at=engine.now(), users=["u07"], item_ids=["i36"])
    user, item = wanted["user_activity"].to_pylist()[0], wanted["item_popularity"].to_pylist()[0]
    found = engine.lookup({"user_id": "u07"})
    assert {name: found[name] for name in user if name in found} == {n: v for n, v in user.items() if n in found}
    assert engine.lookup({"item_id": "i36"})["item_interactions"] == item["item_interactions"] == 1


def test_an_event_id_counts_once(engine, home):
    events = len(EventLog(home.events))
    one = click("u00", "i33", event_id="once")
    receipts = [engine.accept(batch) for batch in ([one, one], [one], [one, click("u00", "i31", event_id="other")])]
    assert [(receipt.accepted, receipt.duplicates) for receipt in receipts] == [(1, 1), (0, 1), (1, 1)]
    assert len(EventLog(home.events)) == events + 2
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == 10


def test_bad_events_are_refused_one_by_one(engine, home):
    receipt = engine.accept(
        [
            click("u00", "i30"),
            {"item_id": "i30", "kind": "click"},
            {**click("u00", "i30"), "kind": "purchase"},
            click("u00", "nothing"),
            click("u00", "i30", occurred_at=(datetime.now(UTC) + timedelta(hours=1)).isoformat()),
            click("u00", "i30", occurred_at="2024-01-05T10:00:00"),
            click("u00", "i30", value=float("nan")),
            click("u00", "i30", colour="red"),
            click("\ud800", "i30"),
            "text",
            click("u01", "i31"),
        ]
    )
    assert receipt.accepted == 2
    reasons = {one.index: one.reason for one in receipt.rejected}
    assert list(reasons) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
    for index, part in {
        1: "user_id: missing",
        2: "'purchase': unknown; accepted are click, impression",
        3: "'nothing': not in the catalogue",
        4: "5 minutes of tolerance",
        5: 'occurred_at "2024-01-05T10:00:00": input should have timezone info',
        6: "value NaN",
        7: "colour: not supported",
        8: "user_id",
        9: "no JSON object",
    }.items():
        assert part in reasons[index]
    assert len(EventLog(home.events).read(items=["i30"], users=["u00"])) == 1


def test_an_archive_keeps_its_own_time_and_live_data_the_walls(home):
    archive = Engine(home)
    assert archive.now() == max(EventLog(home.events).read()["occurred_at"].to_pylist()) + timedelta(microseconds=1)
    wall = archive.now() + timedelta(hours=1)
    assert Engine(home, wall=lambda: wall).now() == wall


def test_without_the_feature_store_the_fusion_answers(home, world, caplog):
    engine = Engine(home)
    engine.load()
    whole = engine.recommend(Request(user_id="u00", k=10))
    shutil.rmtree(home.home / "online")
    down = Engine(home)
    down.load()
    answer = down.recommend(Request(user_id="u00", k=10, explain=True))
    assert answer.fallbacks == [FEATURES]
    assert len(answer.items) == len(whole.items)
    assert not set(ids(answer)) & world.seen("u00")
    assert "does not answer" in caplog.text
    rules = ("exclude where categories has 'north'", "pin 'i02' at 1", "cap categories at 5", "pin 'i01' at 2")
    ruled = down.recommend(Request(user_id="u00", k=10, rules=rules, diversity=0.2, weights={"popularity": 2}))
    assert ruled.fallbacks == [FEATURES]
    assert ids(ruled)[1] == "i01" and len(ruled.items) == 5
    assert all(int(one[1:]) % 2 for one in ids(ruled))
    receipt = down.accept([click("u00", ids(answer)[0])])
    assert (receipt.accepted, receipt.fallbacks) == (1, [FEATURES])
    assert ids(answer)[0] not in ids(down.recommend(Request(user_id="u00", k=10)))


def test_one_request_is_one_line_in_the_log(settled, caplog):
    caplog.set_level("INFO", logger="ranking.serving")
    answer = settled.recommend(Request(user_id="nobody", k=3))
    (line,) = caplog.messages
    assert answer.request_id in line and "release=first" in line and "unknown_user" in line and "'rank'" in line


def test_an_engine_without_a_release_says_so(tmp_path):
    engine = Engine(Settings(home=tmp_path))
    with pytest.raises(ArtifactError, match="trichord run"):
        engine.load()
    with pytest.raises(NotReadyError):
        engine.recommend(Request(user_id="u00"))


def test_an_unknown_entity_is_reported_by_lookup(settled):
    with pytest.raises(UnknownEntityError, match="user_id 'nobody'"):
        settled.lookup({"user_id": "nobody"})


def wait_for(engine: Engine, release: str) -> None:
    deadline = time.monotonic() + 30
    while engine.recommend(Request(user_id="u00", k=3)).release != release:
        assert time.monotonic() < deadline, f"{release} was not served within 30 s"
        time.sleep(0.02)


def test_a_promotion_and_a_rollback_under_requests_drop_none(engine, home, world):
    releases = world.publish(home, "second")
    answers: list[Response] = []
    failures: list[Exception] = []
    done = threading.Event()

    def ask(user: str) -> None:
        while not done.is_set():
            try:
                answers.append(engine.recommend(Request(user_id=user, k=5)))
                engine.accept([click(user, "i39", event_id=f"{user}-{len(answers)}")])
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was dropped
                failures.append(error)

    threads = [threading.Thread(target=ask, args=(user,)) for user in ("u01", "u02")]
    for thread in threads:
        thread.start()
    releases.promote("second")
    wait_for(engine, "second")
    releases.rollback()
    wait_for(engine, "first")
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert {answer.release for answer in answers} >= {"first", "second"}
    assert all(len(answer.items) == 5 and not answer.fallbacks for answer in answers)
    # nothing that was accepted while releases changed is lost
    assert "i39" not in ids(engine.recommend(Request(user_id="u01", k=100)))


def test_a_damaged_release_is_not_served_and_the_old_one_stays(engine, home, world):
    releases = world.publish(home, "bad")
    releases.promote("bad")
    (home.releases / "bad" / "items.parquet").write_bytes(b"PAR1")
    deadline = time.monotonic() + 30
    while not engine.refused:
        assert engine.recommend(Request(user_id="u00", k=3)).release == "first"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "items.parquet" in engine.refused
    assert engine.recommend(Request(user_id="u00", k=3)).release == "first"


def test_items_of_another_catalogue_are_no_part_of_a_release(world, home, tmp_path):
    other = replace(world, items=world.items.slice(1))
    with pytest.raises(ValueError, match="39 items"):
        other.publish(home, "third")
    assert "third" not in [release.id for release in Engine(home).releases.list()]


def test_events_of_kinds_that_the_release_does_not_know_are_left_out(home):
    strange = {"event_id": "s", "user_id": "u00", "item_id": "i34", "kind": "share", "occurred_at": LAST_EVENT}
    EventLog(home.events).append(pa.Table.from_pylist([strange], EventLog(home.events).read().schema))
    engine = Engine(home)
    engine.load()
    assert engine.accept([click("u00", "i32")]).accepted == 1
    assert engine.lookup({"user_id": "u00"})["user_interactions"] == 9


def logging_all(home: Settings) -> Engine:
    engine = Engine(home, served=ServedLog(home.home / "served", Sampling(share=1, flush_s=3600)))
    engine.load()
    return engine


def test_what_the_ranker_was_given_is_logged(home):
    engine = logging_all(home)
    answer = engine.recommend(Request(user_id="u00", k=5, context=Context(device="tv")))
    engine.served.flush()
    vectors, _ = engine.served.sample(5)
    assert set(ids(answer)) <= set(vectors["item_id"].to_pylist())
    assert set(engine.loaded.store.feature_columns("ranking_v1").names) <= set(vectors.column_names)
    told = {name: set(vectors[name].to_pylist()) for name in ("request_id", "release", "service", "user_id", "device")}
    assert told == {
        "request_id": {answer.request_id},
        "release": {"first"},
        "service": {"ranking_v1"},
        "user_id": {"u00"},
        "device": {"tv"},
    }


def test_served_vectors_equal_the_offline_path_also_after_events(home, world):
    from feature_repo.event_rows import RECEIVED_AT
    from feature_repo.labels import label_events
    from feature_repo.parity import replay

    engine = logging_all(home)
    engine.recommend(Request(user_id="u00", k=5, context=Context(device="tv")))
    for item in ("i30", "i31", "i32"):
        engine.accept([click("u00", item, device="tv", value=0.1), click("u01", item)])
        engine.recommend(Request(user_id="u00", k=5))
        engine.recommend(Request(user_id="u01", k=5, context=Context(place="home")))
    engine.accept([click("u05", "i30", occurred_at="2024-01-05T00:00:00Z")])  # late for all of them
    engine.recommend(Request(user_id="u05", k=5))
    engine.recommend(Request(session=("i01",), k=5))
    engine.served.flush()
    vectors, others = engine.served.sample(20)
    log = EventLog(home.events).read(received=True)
    labelled = label_events(log, list(engine.loaded.kinds.values())).append_column(RECEIVED_AT, log[RECEIVED_AT])
    report = replay(
        vectors, service="ranking_v1", store=engine.loaded.store, events=labelled, items=engine.loaded.catalogue.table
    )
    assert report.passed, report.differences
    assert (report.requests, others) == (9, 0)
    assert report.count("equal") + report.count("within_float32") == report.vectors * len(report.features)
    assert report.late_events == 1
    assert report.late_features["item_interactions"] > 0


def test_a_log_that_fails_fails_no_request(home):
    (home.home / "served").write_text("in the way")
    engine = logging_all(home)
    assert engine.recommend(Request(user_id="u00", k=5)).fallbacks == []
    engine.served.flush()
    assert len(engine.recommend(Request(user_id="u00", k=5)).items) == 5
