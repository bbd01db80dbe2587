"""Requests that look for a text, picture or sound: what joins, how it is mixed, and what is refused before decoding."""

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from ranking.errors import BadRequestError
from ranking.serving.answer import Answered, make, understand
from ranking.serving.explanations import explain
from ranking.serving.payloads import QueryContent, RankRequest, Request
from ranking.serving.query_content import contents_of
from ranking.serving.shown import shown
from ranking.serving.sought import QUERY
from ranking.serving.stopwatch import Stopwatch

ASKED = "0" * 32


def page(engine, request, vector):
    loaded = engine.loaded
    made = make(loaded, understand(loaded, request, now=engine.now(), request_id=ASKED, vector=vector), Stopwatch())
    return shown(loaded.hybrid, loaded.catalogue, made)


def vectors_of(engine):
    return engine.loaded.hybrid.knowledge.space.fused


def nearest(engine, vector, *, without=frozenset()):
    index = engine.loaded.catalogue.index
    order = np.argsort(-(vectors_of(engine) @ vector), kind="stable")
    return [index.ids[code] for code in order.tolist() if index.ids[code] not in without]


@pytest.mark.parametrize("user", ["u03", "u04", None])
def test_at_full_weight_the_answer_is_what_lies_nearest(settled, world, user):
    vector = vectors_of(settled)[6]
    items = page(settled, Request(user_id=user, k=12, query_weight=1), vector)
    seen = world.seen(user) if user else set()
    assert [one.item_id for one in items] == nearest(settled, vector, without=seen)[:12]
    cosines = vectors_of(settled) @ vector
    for rank, one in enumerate(items, 1):
        (source,) = [source for source in one.sources if source.generator == QUERY]
        assert source.rank == rank
        assert source.score == pytest.approx(float(cosines[int(one.item_id[1:])]), abs=1e-6)


def test_between_the_weights_the_answer_goes_over_to_the_query(settled):
    vector = vectors_of(settled)[6]  # of the other camp than the user's
    share = []
    for weight in (0, 0.5, 1):
        items = page(settled, Request(user_id="u03", k=8, query_weight=weight), vector)
        share.append(np.mean([int(one.item_id[1:]) % 2 == 0 for one in items]))
    assert share[0] <= share[1] <= share[2] and share[0] < share[2]


def test_at_no_weight_the_order_is_the_rankers(settled):
    vector = vectors_of(settled)[6]
    plain = page(settled, Request(user_id="u03", k=8), None)
    again = page(settled, Request(user_id="u03", k=8, query_weight=0), vector)
    assert len({one.item_id for one in plain} & {one.item_id for one in again}) >= 6  # other items joined the slate


def test_rules_hold_for_what_the_query_finds(settled):
    vector = vectors_of(settled)[6]
    items = page(settled, Request(k=10, query_weight=1, rules=("exclude where categories has 'north'",)), vector)
    assert items and all(int(one.item_id[1:]) % 2 for one in items)


def test_named_items_are_ordered_by_the_query_as_well(settled):
    vector = vectors_of(settled)[6]
    answered = page(settled, Request(user_id="u03", k=9), vector)
    named = tuple(one.item_id for one in answered)[::-1]
    ranked = page(settled, RankRequest(user_id="u03", items=named), vector)
    assert [one.item_id for one in ranked] == list(named[::-1])


def test_the_answer_to_a_query_is_explained_from_its_place_alone(settled):
    loaded, request = settled.loaded, Request(user_id="u03", k=6)
    asked = understand(loaded, request, now=settled.now(), request_id=ASKED, vector=vectors_of(settled)[6])
    made = make(loaded, asked, Stopwatch())
    response = settled.recommend(request).model_copy(
        update={"items": shown(loaded.hybrid, loaded.catalogue, made), "request_id": ASKED}
    )
    given = Answered(response, made, "ranking_v1").given
    assert given.request.query is None
    assert explain(loaded, given, made.stored).exact


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded():
    file = io.BytesIO()
    Image.new("1", (6000, 5000)).save(file, "PNG")
    with pytest.raises(BadRequestError, match=r"query.image: 6000 x 5000 pixels.*scale it down"):
        contents_of(QueryContent(image=encoded(file.getvalue())))


def test_a_sound_that_lasts_too_long_is_refused_before_it_is_decoded():
    file = io.BytesIO()
    soundfile.write(file, np.zeros(1000 * 700, np.float32), 1000, format="FLAC")
    with pytest.raises(BadRequestError, match=r"query.audio: 700 seconds.*send a part"):
        contents_of(QueryContent(audio=encoded(file.getvalue())))


def test_contents_come_out_of_base64():
    found = contents_of(QueryContent(text="blue", image=encoded(b"no picture"), audio=encoded(b"no sound")))
    assert found == {"text": "blue", "image": b"no picture", "audio": b"no sound"}
    with pytest.raises(BadRequestError, match=r"query.image: no base64"):
        contents_of(QueryContent(image="not base64!"))
