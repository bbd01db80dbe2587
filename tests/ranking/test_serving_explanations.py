"""Earlier answers explained, on a small real home."""

from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient

from ranking.errors import GoneError
from ranking.serving.answer import make, understand
from ranking.serving.app import create_app
from ranking.serving.engine import Engine
from ranking.serving.explanations import TRIES, without
from ranking.serving.payloads import RankRequest, Request
from ranking.serving.stopwatch import Stopwatch


def ids(answer) -> list[str]:
    return [item.item_id for item in answer.items]


@pytest.mark.parametrize(
    "request_",
    [
        Request(user_id="u03", k=8),
        Request(user_id="u04", k=6, diversity=0.3, rules=("cap categories = 'north' at 3", "pin 'i01' at 2")),
        Request(user_id="u05", k=5, exploration=0.7, explorer="thompson"),
        Request(session=("i01", "i03"), k=5, spread=0.3),
        RankRequest(user_id="u03", items=("i01", "i02", "i03")),
    ],
)
def test_an_answer_is_made_again_exactly(settled, request_):
    answer = settled.recommend(request_)
    told = settled.explain(answer.request_id)
    assert told.exact
    assert (told.request_id, told.release, told.user_id) == (answer.request_id, "first", request_.user_id)
    for one, item in zip(told.items, answer.items, strict=True):
        assert (one.item_id, one.rank, one.score, one.propensity) == (
            item.item_id,
            item.rank,
            item.score,
            item.propensity,
        )
        assert (one.sources, one.rules) == (item.sources, item.rules)


def test_contributions_sum_to_the_score_less_the_references(settled):
    told = settled.explain(settled.recommend(Request(user_id="u03", k=10)).request_id)
    assert told.ordered_by == "hybrid"
    for item in told.items:
        added = sum(one.contribution for one in item.ranker.contributions)
        assert added == pytest.approx(item.ranker.score - item.ranker.reference, abs=1e-3)
        sizes = [abs(one.contribution) for one in item.ranker.contributions]
        assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0


def test_evidence_is_of_the_users_liked_items(settled, world):
    told = settled.explain(settled.recommend(Request(user_id="u03", k=10)).request_id)
    assert any(item.evidence for item in told.items)
    for item in told.items:
        assert {one.item_id for one in item.evidence} <= world.seen("u03")
        assert len({one.item_id for one in item.evidence}) == len(item.evidence)


def test_a_counterfactual_is_what_making_the_answer_again_without_the_event_shows(settled):
    confirmed = 0
    for user in ("u00", "u03", "u07", "u12"):
        request = Request(user_id=user, k=6)
        answer = settled.recommend(request)
        told = settled.explain(answer.request_id)
        assert 0 < told.tried <= TRIES
        loaded = settled.loaded
        asked = understand(loaded, request, now=told.answered_at, request_id=answer.request_id)
        for item in told.items:
            if item.counterfactual is None:
                continue
            confirmed += 1
            code = loaded.catalogue.index.codes([item.counterfactual.item_id])[0]
            (place,) = np.flatnonzero(asked.query.item == code)
            changed = replace(asked, query=without(asked.query, int(place)), barred=int(code))
            page = make(loaded, changed, Stopwatch()).page
            shown = [loaded.catalogue.index.ids[seat.item] for seat in page.seats]
            assert item.item_id not in shown and item.counterfactual.item_id not in shown
            assert item.counterfactual.title in item.counterfactual.text
    assert confirmed


def test_a_newcomers_answer_has_no_evidence(settled):
    told = settled.explain(settled.recommend(Request(k=4)).request_id)
    assert told.exact and told.tried == 0 and told.ordered_by == "popular_windowed"
    assert all(not one.evidence and one.ranker is None and one.counterfactual is None for one in told.items)


def test_an_answer_is_still_explained_exactly_after_later_events(engine):
    answer = engine.recommend(Request(user_id="u03", k=6))
    engine.accept([{"user_id": "u03", "item_id": one, "kind": "click"} for one in ids(answer)[:2]])
    told = engine.explain(answer.request_id)
    assert told.exact and ids(told) == ids(answer)


def test_an_answer_that_comes_out_otherwise_says_so_and_keeps_its_items(engine):
    answer = engine.recommend(Request(user_id="u03", k=6))
    late = {"user_id": "u03", "item_id": ids(answer)[0], "kind": "click", "occurred_at": "2024-01-05T00:00:00Z"}
    assert engine.accept([late]).accepted == 1
    told = engine.explain(answer.request_id)
    assert not told.exact and told.tried == 0
    assert ids(told) == ids(answer)
    assert [one.rank for one in told.items] == [one.rank for one in answer.items]


def test_what_cannot_be_made_again_is_refused(home, world):
    engine = Engine(home.model_copy(update={"answers": 2}))
    engine.load()
    first, *_ = [engine.recommend(Request(user_id="u03", k=2)) for _ in range(3)]
    with pytest.raises(
        GoneError, match=r"not remembered here.*latest 2 answers.*several processes.*by which the answer came"
    ):
        engine.explain(first.request_id)
    last = engine.recommend(Request(user_id="u03", k=2))
    world.publish(home, "second").promote("second")
    engine.load()
    with pytest.raises(GoneError, match="answered by release first, which is no longer loaded; second is"):
        engine.explain(last.request_id)


def test_over_http(settled):
    client = TestClient(create_app(settled))
    answer = client.post("/v1/recommendations", json={"user_id": "u03", "k": 3}).json()
    told = client.get(f"/v1/explanations/{answer['request_id']}").json()
    assert [one["item_id"] for one in told["items"]] == [one["item_id"] for one in answer["items"]]
    gone = client.get("/v1/explanations/nothing")
    assert (gone.status_code, gone.headers["content-type"]) == (404, "application/problem+json")
    assert "'nothing': its answer is not remembered" in gone.json()["detail"]
