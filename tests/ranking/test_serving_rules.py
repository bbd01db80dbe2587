"""Requests with rules and other wishes, on a small real home."""

import os
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient

from ranking.errors import RuleError
from ranking.serving.answer import make, understand
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.pages import RULES
from ranking.serving.payloads import MAX_RULES, Request, Response
from ranking.serving.shown import RULED
from ranking.serving.stopwatch import Stopwatch
from ranking.strategy.explorer import Explorer

NORTH, SOUTH = 'categories has "north"', 'categories has "south"'


def ids(response: Response) -> list[str]:
    return [item.item_id for item in response.items]


def ask(engine: Engine, *rules: str, user: str = "u03", k: int = 10, **more: object) -> Response:
    return engine.recommend(Request(user_id=user, k=k, rules=rules, **more))


def test_plain_wishes_change_nothing(settled):
    plain = settled.recommend(Request(user_id="u03", k=10, explain=True)).items
    wishes = {"diversity": 0, "spread": 0, "exploration": 0, "explorer": "thompson", "rules": []}
    ones = {"popularity": 1, "content": 1, "collaborative": 1, "context": 1}
    body = {"user_id": "u03", "k": 10, "explain": True, "weights": ones} | wishes
    assert settled.recommend(Request.model_validate(body)).items == plain
    kept = ask(settled, "cap categories at 40", explain=True)  # the whole way of the rules, and no effect
    assert kept.items == plain


def test_a_narrow_rule_still_fills_the_page(settled, world):
    answer = ask(settled, f"include where {NORTH}")
    assert len(answer.items) == 10
    assert all(int(one[1:]) % 2 == 0 for one in ids(answer))
    assert answer.rules == [f"include where {NORTH}: 20 items left out"]
    assert all(item.rules == [] and item.sources for item in answer.items)


def test_never_an_empty_page_while_any_item_is_allowed(settled, world):
    for number in (0, 2, 37, 39):  # of the other camp, and never met by anybody
        answer = ask(settled, f'include where item_id = "i{number:02}"')
        assert ids(answer) == [f"i{number:02}"]
    seen = sorted(world.seen("u03"))[0]
    assert ids(ask(settled, f'include where item_id = "{seen}"')) == []


def test_rules_of_all_kinds_are_followed_at_once(settled):
    answer = ask(
        settled,
        "exclude where item_id in ('i01', 'i05')",
        "boost 50 where item_id = 'i39'",
        "pin 'i02' at 3",
        "cap categories = 'south' at 6",
        "quota categories = 'north' at least 4",
    )
    shown = ids(answer)
    assert len(shown) == 10 and not {"i01", "i05"} & set(shown)
    assert shown[2] == "i02" and "pin 'i02' at 3" in answer.items[2].rules[0]
    assert sum(int(one[1:]) % 2 for one in shown) == 6
    assert any("boost 50" in told for item in answer.items for told in item.rules)


def test_a_pin_shows_what_was_seen_and_says_that_a_rule_put_it_there(settled, world):
    seen = sorted(world.seen("u03"))[0]
    answer = ask(settled, f"pin '{seen}' at 1", explain=True)
    assert ids(answer)[0] == seen
    assert answer.items[0].reasons == [RULED]
    assert all(RULED not in item.reasons and item.reasons for item in answer.items[1:])


def test_a_pin_of_an_excluded_item_is_dropped_and_told_of(settled):
    answer = ask(settled, f"exclude where {NORTH}", "pin 'i02' at 1")
    assert "i02" not in ids(answer)
    assert any("pin 'i02' at 1: not followed" in note for note in answer.rules)


def test_reasons_stay_with_their_items(settled):
    plain = {item.item_id: item.reasons for item in ask(settled, explain=True).items}
    moved = ask(settled, "pin 'i02' at 1", "boost 0.2 where item_id in ('i01', 'i03', 'i05')", explain=True)
    both = [item for item in moved.items if item.item_id in plain and item.item_id != "i02"]
    assert len(both) >= 5
    assert all(item.reasons == plain[item.item_id] for item in both)


def test_no_repeats_leaves_out_what_was_shown_lately(engine):
    first = ids(ask(engine))
    now = engine.now()
    shown = [
        {
            "user_id": "u03",
            "item_id": one,
            "kind": "impression",
            "occurred_at": (now - timedelta(days=days)).isoformat(),
        }
        for one, days in zip(first[:4], (1, 1, 1, 9), strict=True)
    ]
    assert engine.accept(shown).accepted == 4
    assert ids(ask(engine)) and set(first[:4]) & set(ids(ask(engine)))
    rested = ids(ask(engine, "no repeats within 7 days", k=30))
    assert not set(first[:3]) & set(rested)
    assert first[3] in rested
    others = (one for one in engine.loaded.histories.some(30) if one != "u03")
    unlike = next(one for one in others if set(first[:3]) & set(ids(ask(engine, user=one, k=30))))
    assert set(first[:3]) & set(ids(ask(engine, "no repeats within 7 days", user=unlike, k=30)))  # shown to u03 alone


def test_an_explored_page_is_made_again_from_its_request_id(settled):
    loaded, now = settled.loaded, settled.now()
    for explorer in Explorer:
        request = Request(user_id="u03", exploration=0.8, explorer=explorer)
        answers = [settled.recommend(request) for _ in range(3)]
        assert len({tuple(ids(one)) for one in answers}) > 1
        assert all(0 < item.propensity < 1 for item in answers[0].items)
        asked = understand(loaded, request, now=now, request_id=answers[0].request_id)
        again = make(loaded, asked, Stopwatch()).page
        assert [(seat.item, seat.propensity) for seat in again.seats] == [
            (loaded.catalogue.index.codes([item.item_id])[0], item.propensity) for item in answers[0].items
        ]


def test_diversity_mixes_the_camps(settled):
    def share(**more):
        return sum(int(one[1:]) % 2 for one in ids(ask(settled, **more)))

    assert share(diversity=1.0) < share()


def test_weights_move_what_is_popular_up(settled):
    def place(**more):
        page = ids(ask(settled, k=30, **more))
        popular = ids(ask(settled, k=30, weights={"popularity": 3, "collaborative": 0, "content": 0}))[:5]
        return sum(page.index(one) for one in popular if one in page)

    assert place(weights={"popularity": 2}) <= place()


def test_a_bad_rule_is_refused_with_its_place(settled):
    with pytest.raises(RuleError) as caught:
        ask(settled, "cap categories at 2", "exclude where colour = 'red'")
    (fault,) = caught.value.faults
    assert (fault.rule, fault.column) == (1, 15)


# ------------------------------------------------------------------ the house's rules


def write(engine: Engine, text: str, *, at: int) -> None:
    engine.settings.rules.write_text(text)
    os.utime(engine.settings.rules, (at, at))


def test_the_homes_rules_apply_to_every_request_and_follow_the_file(engine):
    write(engine, f"# the house\n\nexclude where {SOUTH}\n", at=1)
    assert all(int(one[1:]) % 2 == 0 for one in ids(ask(engine)))
    write(engine, f"exclude where {NORTH}", at=2)
    assert all(int(one[1:]) % 2 for one in ids(ask(engine)))
    engine.settings.rules.unlink()
    assert ask(engine).rules == []


@pytest.mark.parametrize("broken", ["exclude were x", "cap colour at 2", b"\xff\xfe\xff"])
def test_a_broken_file_keeps_the_rules_before_it(engine, caplog, broken):
    write(engine, f"exclude where {SOUTH}", at=1)
    before = ask(engine)
    engine.settings.rules.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
    os.utime(engine.settings.rules, (2, 2))
    after = ask(engine)
    assert (before.fallbacks, after.fallbacks) == ([], [RULES])
    assert ids(after) == ids(before)
    assert "rules.txt" in caplog.text
    write(engine, "", at=3)
    assert ask(engine).fallbacks == []


def test_a_file_that_was_never_whole_counts_with_its_good_rules(engine):
    write(engine, f"exclude where {SOUTH}\ncap colour at 2", at=1)
    answer = ask(engine)
    assert answer.fallbacks == [RULES]
    assert all(int(one[1:]) % 2 == 0 for one in ids(answer))


def test_a_requests_pin_comes_before_the_houses(engine):
    write(engine, "pin 'i02' at 1", at=1)
    assert ids(ask(engine))[0] == "i02"
    answer = ask(engine, "pin 'i04' at 1")
    assert ids(answer)[0] == "i04"
    assert any("pin 'i02' at 1: not followed, slot 1 is taken" in note for note in answer.rules)


# ------------------------------------------------------------------ over HTTP


@pytest.fixture(scope="module")
def client(settled):
    with TestClient(create_app(settled)) as found:
        yield found


def test_a_bad_rule_is_a_problem_with_field_and_position(client):
    rules = ["cap categories at 2", "boost 2 where categories has 'north'", "exclude were a", "pin 'x' at 0"]
    answer = client.post("/v1/recommendations", json={"user_id": "u00", "rules": rules})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    faults = answer.json()["faults"]
    assert [(one["field"], one["line"], one["column"]) for one in faults] == [("rules[2]", 1, 9), ("rules[3]", 1, 5)]
    assert "did you mean 'where'?" in faults[0]["text"]


def test_rules_are_checked_without_a_request(client):
    body = client.post("/v1/rules/check", json={"rules": ["cap categories at 2", "cap colour at 2"]}).json()
    assert (body["release"], body["ok"], body["count"]) == ("first", False, 2)
    (fault,) = body["faults"]
    assert (fault["rule"], fault["line"], fault["column"], fault["severity"]) == (1, 1, 5, "error")
    assert fault["what"] == "no column 'colour'" and "categories" in fault["accepted"]
    text = "# house\ncap categories at 2\nexclude where title has 'zzz'\n"
    body = client.post("/v1/rules/check", json={"text": text}).json()
    assert body["ok"] and [(one["line"], one["severity"]) for one in body["faults"]] == [(3, "warning")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"rules": ["cap a at 1"], "text": "cap a at 1"}, "give one of them"),
        ({"rules": ["cap a at 1"] * (MAX_RULES + 1)}, "rules"),
        ({"text": "x" * 100_001}, "text"),
        ({"rule": []}, "rule: not supported"),
    ],
)
def test_what_is_no_check_is_a_problem(client, body, told):
    answer = client.post("/v1/rules/check", json=body)
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
