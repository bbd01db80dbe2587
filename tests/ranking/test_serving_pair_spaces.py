"""A text looks for pictures in the space of texts and pictures of a published release, as brute force does."""

import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
from fastapi.testclient import TestClient
from scipy import sparse

from feature_repo.labels import label_events
from feature_repo.schema import Modality
from feature_repo.settings import Search, Settings
from ranking.errors import ArtifactError, BadRequestError
from ranking.rankers.space import Space
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.cross_modal import CrossModal, fit_pairs
from ranking.representation.inputs import unit_rows
from ranking.representation.text import TextEncoder
from ranking.serving.app import create_app
from ranking.serving.catalogue import load_items, save_parts
from ranking.serving.engine import Engine
from ranking.serving.pair_spaces import CROSS_MODAL, MODEL, PairSpaces, save_pairs
from ranking.serving.releases import Release, Releases
from ranking.serving.similar import INDEX, Neighbours, save_search
from ranking.types import Floats, IdIndex, Interactions

KNOWN = 150  # more than are published: a model needs a hundred
PICTURED = np.arange(KNOWN) % 5 > 0


@pytest.fixture(scope="module")
def content() -> ItemContent:
    """Texts as long as MiniLM's vectors, and pictures that a matrix and some noise make of them; a fifth has none."""
    draw = np.random.default_rng(0)
    text = draw.normal(size=(KNOWN, 8)) @ draw.normal(size=(8, 384))
    image = text @ draw.normal(size=(384, 12)) + draw.normal(size=(KNOWN, 12))
    return ItemContent(
        items=IdIndex(tuple(f"i{n:03}" for n in range(KNOWN))),
        vectors={Modality.TEXT: unit_rows(text), Modality.IMAGE: unit_rows(image) * PICTURED[:, None]},
        present={Modality.TEXT: np.ones(KNOWN, bool), Modality.IMAGE: PICTURED},
        created_at=np.full(KNOWN, UNKNOWN_TIME),
        categories=sparse.csr_matrix((KNOWN, 0), dtype=bool),
    )


@pytest.fixture(scope="module")
def published(content, world, tmp_path_factory) -> Settings:
    """A home whose release holds the small world's items, with the first texts and pictures; the rest taught more."""
    home, n = tmp_path_factory.mktemp("pairs"), len(world.items)
    mine = ItemContent(
        world.hybrid.items,
        {name: rows[:n] for name, rows in content.vectors.items()},
        {name: rows[:n] for name, rows in content.present.items()},
        content.created_at[:n],
        content.categories[:n],
    )
    (home / "made" / INDEX).mkdir(parents=True)
    save_pairs(home / "made" / CROSS_MODAL, fit_pairs(content), mine, Search())
    (home / "aligned").mkdir()
    quick = AlignmentConfig(steps=1, dim=8, hidden=0)
    Alignment.fit(mine, world_log(world), config=quick).save(home / "aligned")
    hybrid = copy.copy(world.hybrid)
    images = hybrid.knowledge.space.by_modality[Modality.IMAGE] * PICTURED[:n, None]
    space = replace(hybrid.knowledge.space, by_modality={Modality.IMAGE: images})
    hybrid.knowledge = replace(hybrid.knowledge, space=space)

    def make(folder):
        save_parts(folder, hybrid, world.items)
        save_search(folder, indexes=home / "made", alignment=home / "aligned")
        return world.manifest("pairs").model_copy(update={"encoders": {Modality.TEXT: TextEncoder().id}})

    releases = Releases.of(Settings(home=home))
    releases.publish("pairs", make)
    releases.promote("pairs")
    return Settings(home=home)


def world_log(world) -> Interactions:
    users, items = IdIndex.of(world.events["user_id"].to_pylist()), world.hybrid.items
    return Interactions.from_events(label_events(world.events, world.manifest("any").kinds), users=users, items=items)


def brute_force(content: ItemContent, model: CrossModal, asked: Floats, n: int) -> tuple[list[str], list[float]]:
    """Ids of pictured items by cosine with a text, the nearest first, by the formula of `CrossModal` written out."""

    def led(vectors: Floats, modality: str) -> Floats:
        centred = vectors - model.means[modality]
        centred /= np.linalg.norm(centred, axis=1, keepdims=True)
        placed = centred @ model.axes[modality]
        return placed / np.linalg.norm(placed, axis=1, keepdims=True)

    cosines = led(content.vectors[Modality.IMAGE][:n], "image") @ led(asked[None], "text")[0]
    order = [code for code in np.argsort(-cosines, kind="stable") if PICTURED[code]]
    return [f"i{code:02}" for code in order], cosines[order].tolist()


def test_a_text_finds_pictures_by_brute_force_and_nothing_else_is_read(published, content, world, tmp_path) -> None:
    release, n = Releases.of(published).current(), len(world.items)
    bare = tmp_path / "bare"
    shutil.copytree(release.folder / CROSS_MODAL, bare / CROSS_MODAL)
    shutil.rmtree(bare / CROSS_MODAL / "image-text" / "text")

    def never() -> Space:
        raise AssertionError("the aligned space is not needed")

    neighbours = Neighbours(Release(bare, release.manifest), never, load_items(release), published)
    found = neighbours.of_content(k=7, by="image", text="tea in the rain")
    encoder = TextEncoder()
    (asked,) = encoder.encode([encoder.decode(b"tea in the rain")])
    ids, cosines = brute_force(content, fit_pairs(content)["image-text"], asked, n)
    assert [item.item_id for item in found.items] == ids[:7]
    np.testing.assert_allclose([item.score for item in found.items], cosines[:7], atol=1e-5)
    assert (found.by, found.asked) == ("image", "text")
    north = neighbours.of_content(k=50, by="image", text="tea in the rain", categories=("north",))
    assert [item.item_id for item in north.items] == [one for one in ids if int(one[1:]) % 2 == 0]


def test_over_http_an_item_without_a_picture_asks_by_its_text(published, content, world) -> None:
    engine = Engine(published)
    engine.load()
    client = TestClient(create_app(engine))
    answer = client.get("/v1/items/i05/similar", params={"k": 6, "by": "image"}).json()
    ids, cosines = brute_force(
        content, fit_pairs(content)["image-text"], content.vectors[Modality.TEXT][5], len(world.items)
    )
    assert [item["item_id"] for item in answer["items"]] == ids[:6]
    np.testing.assert_allclose([item["score"] for item in answer["items"]], cosines[:6], atol=1e-5)
    assert answer["asked"] == "text"
    pictured = client.get("/v1/items/i06/similar", params={"k": 6, "by": "image"}).json()
    assert pictured["asked"] is None  # compared with pictures by its own


def test_without_a_space_of_the_two_the_aligned_one_answers(published) -> None:
    neighbours = Neighbours.current(published)
    assert neighbours.of_content(k=3, text="tea").asked is None
    release = Releases.of(published).current()
    assert not PairSpaces(release.folder / CROSS_MODAL).holds(Modality.TEXT, Modality.AUDIO)
    with pytest.raises(BadRequestError, match="by 'audio': no item has any"):
        neighbours.of_content(k=3, by="audio", text="tea")
    with pytest.raises(BadRequestError, match="give a text, an image or a sound"):
        neighbours.of_content(k=3, by="image")


def test_damaged_files_of_a_pair_are_named(published, tmp_path) -> None:
    folder = tmp_path / CROSS_MODAL
    shutil.copytree(Releases.of(published).current().folder / CROSS_MODAL, folder)
    (folder / "image-text" / MODEL).write_bytes(b"")
    (folder / "image-text" / "image" / "vectors.safetensors").unlink()
    pairs = PairSpaces(folder)
    with pytest.raises(ArtifactError, match=MODEL):
        pairs.model(Modality.IMAGE, Modality.TEXT)
    with pytest.raises(ArtifactError, match=r"image.vectors\.safetensors"):
        pairs.side(Modality.IMAGE, Modality.TEXT)
