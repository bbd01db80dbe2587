"""The ring of answers, and events that name one of them."""

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from feature_repo.event_log import EventLog
from ranking.serving.answers import Answers, Given, Place
from ranking.serving.payloads import RankRequest, Request


def given(name: str) -> Given:
    return Given(name, Request(), datetime(2024, 1, 1, tzinfo=UTC), "first", 0, {"i01": Place(1, 0.5, 1.0)})


def vectors(n: int) -> pa.Table:
    return pa.table({"value": pa.array(range(n), pa.int64())})


def test_the_latest_answers_are_kept_and_the_oldest_forgotten():
    answers = Answers(3)
    for name in "abcde":
        answers.keep(given(name), vectors(2))
    assert len(answers) == 3
    assert [answers.of(name) is not None for name in "abcde"] == [False, False, True, True, True]
    assert [answers.vectors(name) is not None for name in "abcde"] == [False, False, True, True, True]
    assert answers.vector_bytes == 3 * 16


def test_what_rankers_were_given_is_held_up_to_a_number_of_bytes():
    answers = Answers(10, vector_bytes=40)
    for name in "abc":
        answers.keep(given(name), vectors(2))
    answers.keep(given("d"), None)
    assert [answers.vectors(name) is not None for name in "abcd"] == [False, True, True, False]
    assert all(answers.of(name) is not None for name in "abcd")
    answers.keep(given("e"), vectors(100))
    assert answers.vector_bytes == 0


def test_none_are_kept_where_none_shall_be():
    answers = Answers(0)
    answers.keep(given("a"), vectors(1))
    assert (len(answers), answers.of("a"), answers.vector_bytes) == (0, None, 0)


def stored(home, **by) -> list[dict[str, object]]:
    return EventLog(home.events).read(**by).to_pylist()


def test_an_event_of_an_answer_has_its_items_position_and_propensity(engine, home):
    answer = engine.recommend(Request(user_id="u03", k=6, exploration=0.6))
    events = [
        {"user_id": "u03", "item_id": one.item_id, "kind": "impression", "request_id": answer.request_id}
        for one in answer.items
    ]
    receipt = engine.accept(events)
    assert (receipt.accepted, receipt.unmatched, receipt.rejected) == (6, [], [])
    found = {one["item_id"]: one for one in stored(home, users=["u03"]) if one["request_id"] == answer.request_id}
    for item in answer.items:
        assert found[item.item_id]["position"] == item.rank - 1
        assert found[item.item_id]["propensity"] == pytest.approx(item.propensity)


def test_what_an_event_says_itself_stands(engine, home):
    answer = engine.recommend(RankRequest(user_id="u03", items=("i01", "i02")))
    one = {"user_id": "u03", "item_id": "i02", "kind": "click", "request_id": answer.request_id}
    engine.accept(
        [one | {"event_id": "own", "position": 7, "propensity": 0.25}, one | {"event_id": "half", "position": 9}]
    )
    found = {one["event_id"]: one for one in stored(home, users=["u03"])}
    assert (found["own"]["position"], found["own"]["propensity"]) == (7, 0.25)
    assert (found["half"]["position"], found["half"]["propensity"]) == (9, 1.0)


def test_an_event_of_an_item_that_the_answer_lacks_is_taken_with_a_note(engine, home):
    answer = engine.recommend(Request(user_id="u03", k=2))
    other = next(f"i{n:02}" for n in range(40) if f"i{n:02}" not in {one.item_id for one in answer.items})
    one = {"event_id": "x", "user_id": "u03", "item_id": other, "kind": "click", "request_id": answer.request_id}
    receipt = engine.accept([{"kind": "click"}, one])
    assert (receipt.accepted, [one.index for one in receipt.unmatched]) == (1, [1])
    assert other in receipt.unmatched[0].reason and answer.request_id in receipt.unmatched[0].reason
    (found,) = [one for one in stored(home, users=["u03"]) if one["event_id"] == "x"]
    assert (found["position"], found["propensity"]) == (None, None)


def test_an_event_of_an_unknown_request_is_taken_as_it_is(engine, home):
    one = {"event_id": "y", "user_id": "u03", "item_id": "i01", "kind": "click", "request_id": "elsewhere"}
    receipt = engine.accept([one])
    assert (receipt.accepted, receipt.unmatched) == (1, [])
    again = engine.accept([one])
    assert (again.accepted, again.duplicates) == (0, 1)
