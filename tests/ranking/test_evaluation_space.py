"""Cross-modal recall on a world whose answer is known, and the map of the items."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from scipy import sparse

from feature_repo.schema import Modality
from ranking.errors import ArtifactError
from ranking.evaluation.cross_modal import cross_modal, hidden_items
from ranking.evaluation.item_map import COLOURS, ItemMap, principal
from ranking.evaluation.space_report import crossings_table, map_line, read, write
from ranking.representation.alignment import AlignmentConfig
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.types import IdIndex, Interactions

SHORT = AlignmentConfig(steps=20)


def content_of(vectors, present=None, categories=()) -> ItemContent:
    n = len(next(iter(vectors.values())))
    names = tuple(sorted({name for one in categories for name in one}))
    named = np.array([[name in one for name in names] for one in categories or [()] * n], bool).reshape(n, len(names))
    return ItemContent(
        items=IdIndex(tuple(f"i{i:06}" for i in range(n))),
        vectors={name: rows.astype(np.float32) for name, rows in vectors.items()},
        present=present or {name: np.ones(n, bool) for name in vectors},
        created_at=np.full(n, UNKNOWN_TIME),
        categories=sparse.csr_matrix(named),
        category_names=names,
    )


def log_of(n_items: int, n_users: int = 40, seed: int = 0) -> Interactions:
    """Every user likes items of one half."""
    draw = np.random.default_rng(seed)
    user = np.repeat(np.arange(n_users), 10)
    item = draw.integers(0, n_items // 2, len(user)) * 2 + user % 2
    n = len(user)
    nothing = np.full(n, None, object)
    return Interactions(
        users=IdIndex(tuple(f"u{i:03}" for i in range(n_users))),
        items=IdIndex(tuple(f"i{i:06}" for i in range(n_items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=np.arange(n, dtype=np.int64),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=nothing,
        place=nothing,
    )


def two_views(n: int, noise: float, seed: int = 0):
    """Two linear views of ten hidden numbers an item."""
    draw = np.random.default_rng(seed)
    hidden = draw.normal(size=(n, 10))
    return [hidden @ draw.normal(size=(10, width)) + noise * draw.normal(size=(n, width)) for width in (24, 18)]


@pytest.fixture(scope="module")
def crossings():
    text, image = two_views(200, 0.1)
    return cross_modal(content_of({Modality.TEXT: text, Modality.IMAGE: image}), log_of(200), config=SHORT)


def test_both_directions_are_measured_among_hidden_items(crossings):
    assert [(one["asked"], one["found"]) for one in crossings] == [("image", "text"), ("text", "image")]
    for one in crossings:
        assert (one["items"], one["pairs"], one["chance"]) == (40, 160, 0.25)
        assert set(one["models"]) == {"alignment", "product"}
        assert one["models"]["product"]["recall@10"] > 0.9
        for found in one["models"].values():
            assert found["ci95"][0] <= found["recall@10"] <= found["ci95"][1]
        difference = one["models"]["product"]["recall@10"] - one["models"]["alignment"]["recall@10"]
        assert one["difference"] == pytest.approx(difference)
        assert one["ci95"][0] <= difference <= one["ci95"][1]


def test_modalities_that_share_nothing_are_found_by_chance():
    draw = np.random.default_rng(5)
    apart = {Modality.TEXT: draw.normal(size=(500, 12)), Modality.IMAGE: draw.normal(size=(500, 12))}
    for one in cross_modal(content_of(apart), log_of(500), config=SHORT):
        for found in one["models"].values():
            assert found["ci95"][0] <= one["chance"] <= found["ci95"][1]


def test_hidden_items_teach_nothing():
    text, image = two_views(300, 0.1)
    content = content_of({Modality.TEXT: text, Modality.IMAGE: image})
    hidden = np.flatnonzero(hidden_items(content, 0))
    assert len(hidden) == 60
    content.vectors[Modality.IMAGE][hidden] = content.vectors[Modality.IMAGE][np.roll(hidden, 1)]  # another's picture
    for one in cross_modal(content, log_of(300), config=SHORT):
        assert one["models"]["product"]["recall@10"] < 0.5  # chance .17; own pictures are found by .9 and more


def test_too_few_items_in_common_are_not_asked():
    text, image = two_views(60, 0.1)
    assert cross_modal(content_of({Modality.TEXT: text, Modality.IMAGE: image}), log_of(60)) == []
    assert cross_modal(content_of({Modality.TEXT: text}), log_of(60)) == []


def test_principal_components_are_those_of_the_spread():
    draw = np.random.default_rng(0)
    rows = (draw.normal(size=(500, 4)) * [0.1, 3, 0.2, 1]).astype(np.float32)
    places, explained = principal(rows)
    assert abs(np.corrcoef(places[:, 0], rows[:, 1])[0, 1]) > 0.999
    assert np.corrcoef(places[:, 0], rows[:, 1])[0, 1] > 0  # never mirrored
    np.testing.assert_allclose(np.array(explained) * rows.var(axis=0).sum(), places.var(axis=0), rtol=1e-3)


def test_an_item_is_coloured_by_its_rarest_frequent_category():
    categories = [("a", "b"), ("a",), ("a", "b"), (), ("a", "c")]
    vectors = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    drawn = ItemMap.of(vectors, content_of({Modality.TEXT: vectors}, categories=categories))
    assert drawn is not None
    assert drawn.names == ("a", "b", "c")
    assert drawn.group.tolist() == [1, 0, 1, 3, 2]


@pytest.mark.parametrize("n", [10, 100_000])
def test_a_picture_is_drawn_of_few_and_of_many_items(n, tmp_path):
    draw = np.random.default_rng(0)
    vectors = draw.normal(size=(n, 8)).astype(np.float32)
    vectors[0] = 0  # an item without content
    categories = sparse.csr_matrix(draw.random((n, 9)) < 0.2)
    content = content_of({Modality.TEXT: vectors})
    content = ItemContent(
        content.items, {}, {}, content.created_at, categories, tuple(f"category {code}" for code in range(9))
    )
    drawn = ItemMap.of(vectors, content)
    assert drawn is not None
    report = write(tmp_path, [], drawn, title="many")
    assert report["item_map"] is not None
    assert report["item_map"]["items"] == n - 1
    with Image.open(tmp_path / "item_map.png") as picture:
        shown = np.asarray(picture.convert("RGB")).reshape(-1, 3)
    assert len(np.unique(shown, axis=0)) > len(COLOURS)


def test_too_few_items_leave_no_picture_and_remove_an_old_one(tmp_path):
    (tmp_path / "item_map.png").write_bytes(b"old")
    vectors = np.eye(4, dtype=np.float32)
    vectors[2:] = 0
    assert ItemMap.of(vectors, content_of({Modality.TEXT: vectors})) is None
    write(tmp_path, [], None, title="none")
    assert not (tmp_path / "item_map.png").exists()
    found = read(tmp_path)
    assert found == {"cross_modal": [], "item_map": None}
    assert (
        str(crossings_table([])) == "no recall from one modality to another, as no two have 20 hidden items in common"
    )
    assert map_line(None) == "no map of the items, as fewer than 3 have a vector"


def test_items_that_all_lie_at_one_place_are_drawn(tmp_path):
    vectors = np.ones((12, 4), np.float32)
    drawn = ItemMap.of(vectors, content_of({Modality.TEXT: vectors}))
    assert drawn is not None
    drawn.draw(tmp_path / "one.png", title="one place")
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")


def test_the_report_is_read_as_it_was_written_and_shown(crossings, tmp_path):
    assert read(tmp_path) is None
    vectors = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    write(tmp_path, crossings, ItemMap.of(vectors, content_of({Modality.TEXT: vectors})), title="ten")
    found = read(tmp_path)
    assert found is not None
    json.dumps(found, allow_nan=False)
    assert found["cross_modal"] == crossings
    assert found["item_map"] is not None
    assert found["item_map"]["path"] == str(tmp_path / "item_map.png")
    assert map_line(found["item_map"]).startswith("map of 10 items (two principal components, ")
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(crossings_table(found["cross_modal"]))
    shown = console.export_text()
    assert "image, text" in shown
    assert "0.250" in shown  # chance
    (tmp_path / "space.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"space\.json"):
        read(tmp_path)
