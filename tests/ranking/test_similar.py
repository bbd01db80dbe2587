"""Items near an item or a content: placed as items are, by the release's own encoders, with clear refusals."""

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from feature_repo.schema import Modality
from feature_repo.settings import Encoders, Settings
from ranking.errors import ArtifactError, BadRequestError, EncoderError, UnknownEntityError, UnreadableContentError
from ranking.representation.alignment import Alignment, AlignmentConfig
from ranking.representation.encoder import Encoder
from ranking.representation.int8 import Int8Rows, least_cosine
from ranking.representation.query import query_vector
from ranking.representation.query_encoders import encoders_of
from ranking.representation.text import TextEncoder
from ranking.representation.vector_table import int8_errors, vector_table
from ranking.serving.app import create_app
from ranking.serving.similar import ALL, BEHAVIOUR, INDEX, Neighbours


class Letters(Encoder[str]):
    """How often six letters occur."""

    modality, id, dim = Modality.TEXT, "letters", 6

    def decode(self, content):
        return TextEncoder().decode(content)

    def encode(self, batch):
        return np.array([[text.count(letter) for letter in "abcdef"] for text in batch], np.float32)


class Sizes(Letters):
    """As many numbers of a file's bytes."""

    modality, id = Modality.IMAGE, "sizes"

    def decode(self, content):
        return content.hex()


ENCODERS = {Modality.TEXT: Letters(), Modality.IMAGE: Sizes()}


@pytest.fixture(scope="module")
def alignment(checkerboard):
    return Alignment.fit(checkerboard.content, checkerboard.log, config=AlignmentConfig(dim=8, hidden=16, steps=20))


def with_first(content, **vectors):
    """The content with other vectors of its first item."""
    changed = {modality: rows.copy() for modality, rows in content.vectors.items()}
    present = {modality: rows.copy() for modality, rows in content.present.items()}
    for modality in changed:
        present[modality][0] = modality in vectors
        changed[modality][0] = vectors.get(modality, 0)
    return type(content)(content.items, changed, present, content.created_at, content.categories)


def test_a_query_lies_where_an_item_of_its_content_lies(alignment, checkerboard):
    text, image = "a cab faced a bad deed", bytes(range(200))
    of_text, of_image = Letters().encode([text])[0], Sizes().encode([image.hex()])[0]
    for given_contents, vectors in (
        ({"text": text}, {"text": of_text}),
        ({"image": image}, {"image": of_image}),
        ({"text": text, "image": image}, {"text": of_text, "image": of_image}),
    ):
        found = query_vector(alignment, ENCODERS.__getitem__, **given_contents)
        (placed, *_) = alignment.item_vectors(with_first(checkerboard.content, **vectors))
        np.testing.assert_allclose(found, placed, atol=1e-6)
        assert np.linalg.norm(found) == pytest.approx(1, abs=1e-5)


def test_queries_that_cannot_be_placed_are_refused(alignment):
    with pytest.raises(BadRequestError, match="give a text, an image or a sound"):
        query_vector(alignment, ENCODERS.__getitem__)
    with pytest.raises(BadRequestError, match=r"audio is not in this release.*text, image"):
        query_vector(alignment, ENCODERS.__getitem__, audio=b"RIFF")
    with pytest.raises(UnreadableContentError, match="blank"):
        query_vector(alignment, ENCODERS.__getitem__, text=" \n")


def test_only_the_encoder_of_the_release_is_taken(tmp_path):
    settings = Settings(home=tmp_path)
    source = encoders_of(settings, {Modality.TEXT: TextEncoder().id, Modality.IMAGE: "another"})
    assert source(Modality.TEXT).id == TextEncoder().id
    with pytest.raises(EncoderError, match=r"image queries need the encoder 'another'.*efficientnet"):
        source(Modality.IMAGE)
    elsewhere = Settings(home=tmp_path, encoders=Encoders(text=str(tmp_path / "nothing")))
    with pytest.raises(EncoderError):
        encoders_of(elsewhere, {Modality.TEXT: TextEncoder().id})(Modality.TEXT)


@pytest.fixture(scope="module")
def neighbours(settled):
    return settled.loaded.neighbours


def test_the_nearest_items_of_an_item_are_those_of_brute_force(neighbours, settled):
    space, index = settled.loaded.hybrid.knowledge.space, settled.loaded.catalogue.index
    for by, vectors in (
        (ALL, space.fused),
        ("image", space.by_modality[Modality.IMAGE]),
        (BEHAVIOUR, space.remembered),
    ):
        cosines = vectors @ vectors[5] / np.linalg.norm(vectors, axis=1) / np.linalg.norm(vectors[5])
        wanted = [code for code in np.argsort(-cosines).tolist() if code != 5][:7]
        found = neighbours.of_item("i05", k=7, by=by)
        assert [item.item_id for item in found.items] == index.take(np.array(wanted))
        np.testing.assert_allclose([item.score for item in found.items], cosines[wanted], atol=1e-6)
        assert [item.rank for item in found.items] == list(range(1, 8))


def test_all_other_items_are_found_once(neighbours):
    found = neighbours.of_item("i05", k=100).items
    assert len({item.item_id for item in found}) == len(found) == 39
    assert "i05" not in {item.item_id for item in found}


def test_categories_leave_only_their_items(neighbours):
    found = neighbours.of_item("i05", k=100, categories=("north",)).items
    assert {int(item.item_id[1:]) % 2 for item in found} == {0} and len(found) == 20
    assert len(neighbours.of_item("i05", k=100, categories=("north", "south")).items) == 39
    with pytest.raises(UnknownEntityError, match=r"category 'west'.*north, south"):
        neighbours.of_item("i05", k=3, categories=("west",))


def test_questions_without_an_answer_are_refused_by_name(neighbours):
    with pytest.raises(UnknownEntityError, match=r"item 'i99'.*'i00'"):
        neighbours.of_item("i99", k=3)
    with pytest.raises(BadRequestError, match=r"by 'colour'.*all, text"):
        neighbours.of_item("i05", k=3, by="colour")
    with pytest.raises(BadRequestError, match="by 'text': no item has any"):
        neighbours.of_item("i05", k=3, by="text")
    with pytest.raises(BadRequestError, match="only items have it"):
        neighbours.of_content(k=3, by=BEHAVIOUR, text="tea")
    with pytest.raises(ArtifactError, match="holds no alignment"):
        neighbours.of_content(k=3, text="tea")


def test_an_index_of_another_release_is_refused(home):
    place = home.releases / "first" / INDEX / ALL
    place.mkdir(parents=True)
    (place / "index.json").write_text('{"exact": true, "rows": 7, "items": 7, "dimensions": 8, "recall": 1.0}')
    with pytest.raises(ArtifactError, match="not of 40 x 8"):
        Neighbours.current(home).of_item("i05", k=3)


def test_http_answers_what_lies_near_an_item(settled, neighbours):
    client = TestClient(create_app(settled))
    answer = client.get("/v1/items/i05/similar", params={"k": 4, "by": "image"})
    assert answer.json() == neighbours.of_item("i05", k=4, by="image").model_dump()
    for path, named in (("i99/similar", "i99"), ("i05/similar?by=colour", "colour"), ("i05/similar?k=0", 'k 0|k "0"')):
        refused = client.get(f"/v1/items/{path}")
        assert refused.status_code == 422
        assert any(one in refused.json()["detail"] for one in named.split("|"))


rows = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 6)), elements=st.floats(-1e3, 1e3, width=32))


@given(rows)
def test_int8_is_off_by_half_a_step_at_most(vectors):
    near = Int8Rows.of(vectors)
    assert (np.abs(near.restored() - vectors) <= near.scale[:, None] * 0.5001 + 1e-30).all()
    assert near.values.dtype == np.int8


def test_a_table_of_vectors_holds_both_forms_and_nulls_where_nothing_is():
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(5, 128)).astype(np.float32)
    vectors[3] = 0
    table = vector_table("item_id", list("abcde"), {"all": vectors})
    assert table.column_names == ["item_id", "all", "all_int8", "all_scale"]
    assert [row is None for row in table["all"].to_pylist()] == [False, False, False, True, False]
    steps, scale = (table[name].drop_null().to_pylist() for name in ("all_int8", "all_scale"))
    kept = np.delete(vectors, 3, axis=0)
    near = (np.array(steps) * np.array(scale)[:, None]).astype(np.float32)
    assert int8_errors({"all": vectors}) == pytest.approx({"all": least_cosine(kept, near)})
    assert least_cosine(kept, near) > 0.9999
