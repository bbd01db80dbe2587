"""Named items in order: `POST /v1/rank` on a small real home."""

import shutil

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feature_repo.settings import Settings
from ranking.errors import UnknownEntityError
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.made import FEATURES
from ranking.serving.payloads import MAX_RANKED, RankRequest, Request, Response
from ranking.serving.shown import NAMED

ALL = tuple(f"i{n:02}" for n in range(40))


def ids(response: Response) -> list[str]:
    return [item.item_id for item in response.items]


WISHES = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(["u03", "u10", "nobody", None]),
        "session": st.sampled_from([(), ("i01", "i05")]),
        "context": st.sampled_from([{}, {"device": "tv"}]),
        "diversity": st.sampled_from([0, 0.4]),
        "spread": st.sampled_from([0, 0.5]),
        "weights": st.sampled_from([{}, {"popularity": 2.5, "content": 0}]),
    }
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=WISHES, data=st.data())
def test_the_items_of_an_answer_have_its_order_and_scores(settled, wishes, data):
    answered = settled.recommend(Request(k=12, **wishes))
    named = data.draw(st.permutations(ids(answered)))
    ranked = settled.recommend(RankRequest(items=named, **wishes))
    assert ids(ranked) == ids(answered)
    assert [one.score for one in ranked.items] == [one.score for one in answered.items]
    assert [one.sources for one in ranked.items] == [one.sources for one in answered.items]
    some = data.draw(st.lists(st.sampled_from(named), min_size=1, unique=True))
    assert set(ids(settled.recommend(RankRequest(items=some, **wishes)))) == set(some)
    if not wishes["diversity"]:  # which weighs what else is on the page
        wanted = [one for one in ids(answered) if one in some]
        assert ids(settled.recommend(RankRequest(items=some, **wishes))) == wanted


def test_exactly_the_named_items_are_ranked_seen_ones_too(settled, world):
    seen = sorted(world.seen("u03"))
    ranked = settled.recommend(RankRequest(user_id="u03", items=ALL))
    assert sorted(ids(ranked)) == sorted(ALL)
    assert set(seen) <= set(ids(ranked))
    assert [item.rank for item in ranked.items] == list(range(1, 41))
    scores = [item.score for item in ranked.items]
    assert scores == sorted(scores, reverse=True)
    assert all(item.reasons and item.propensity == 1 for item in ranked.items)


def test_an_item_that_no_generator_finds_is_ranked_and_says_so(settled):
    ranked = settled.recommend(RankRequest(user_id="u03", items=ALL, explain=True))
    alone = [item for item in ranked.items if not item.sources]
    assert all(NAMED in item.reasons for item in alone)


def test_the_order_does_not_hang_on_the_order_of_asking(settled):
    one = settled.recommend(RankRequest(user_id="u04", items=ALL[:20]))
    two = settled.recommend(RankRequest(user_id="u04", items=ALL[:20][::-1]))
    assert ids(one) == ids(two)


def test_no_rule_of_the_house_leaves_a_named_item_out(home):
    home.rules.write_text("exclude where item_id = 'i02'\n")
    engine = Engine(home)
    engine.load()
    assert "i02" not in ids(engine.recommend(Request(user_id="u03", k=40)))
    assert sorted(ids(engine.recommend(RankRequest(user_id="u03", items=("i02", "i03"))))) == ["i02", "i03"]


def test_chance_has_a_propensity_and_keeps_all_items(settled):
    ranked = settled.recommend(RankRequest(user_id="u03", items=ALL[:8], exploration=1))
    assert sorted(ids(ranked)) == list(ALL[:8])
    assert [item.propensity for item in ranked.items] == pytest.approx([1 / n for n in range(8, 0, -1)])


def test_without_the_feature_store_the_fusion_ranks(home: Settings):
    shutil.rmtree(home.home / "online")
    engine = Engine(home)
    engine.load()
    ranked = engine.recommend(RankRequest(user_id="u03", items=ALL[:9]))
    assert ranked.fallbacks == [FEATURES] and sorted(ids(ranked)) == list(ALL[:9])


def test_an_unknown_item_is_named(settled):
    with pytest.raises(UnknownEntityError, match=r"items: item 'i99' is not in the catalogue of release first"):
        settled.recommend(RankRequest(items=("i01", "i99")))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "items: missing"),
        ({"items": []}, "items"),
        ({"items": ["i01", "i01"]}, "'i01' is given 2 times; give each item once"),
        ({"items": ["i01"] * (MAX_RANKED + 1)}, "items"),
        ({"items": ["i01"], "rules": ["cap categories at 1"]}, "rules: not supported"),
        ({"items": ["i01"], "k": 3}, "k: not supported"),
        ({"items": ["nothing"]}, "'nothing' is not in the catalogue"),
    ],
)
def test_a_request_that_cannot_be_honoured_is_refused_by_name(settled, body, named):
    answer = TestClient(create_app(settled)).post("/v1/rank", json=body)
    assert answer.status_code == 422, answer.text
    assert named in answer.json()["detail"]


def test_http_ranks_as_the_engine_does(settled):
    body = {"user_id": "u05", "items": list(ALL[:6]), "explain": True}
    answer = TestClient(create_app(settled)).post("/v1/rank", json=body).json()
    assert answer["items"] == settled.recommend(RankRequest.model_validate(body)).model_dump()["items"]
