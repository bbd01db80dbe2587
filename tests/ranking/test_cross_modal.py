"""The closed form against its definition, and the space of two modalities."""

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from feature_repo.schema import Modality
from ranking.errors import ArtifactError
from ranking.representation.cca import Cca, mean_recall, ranks, tuned
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.cross_modal import CrossModal, fit_pairs
from ranking.types import Bools, Floats, IdIndex

ITEMS = 240


def two_sides(seed: int = 0, *, noise: float = 0.5) -> tuple[Floats, Floats]:
    """Centred rows of width 12 and 9 that share four directions."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(ITEMS, 4))
    sides = (shared @ draw.normal(size=(4, width)) + noise * draw.normal(size=(ITEMS, width)) for width in (12, 9))
    left, right = (np.asarray(one - one.mean(axis=0), np.float32) for one in sides)
    return left, right


def world(*, present: np.ndarray | None = None) -> ItemContent:
    text, image = two_sides()
    there = np.ones(ITEMS, bool) if present is None else present
    return ItemContent(
        items=IdIndex(tuple(f"i{row:03}" for row in range(ITEMS))),
        vectors={Modality.TEXT: text + 3, Modality.IMAGE: image},
        present={Modality.TEXT: np.ones(ITEMS, bool), Modality.IMAGE: there},
        created_at=np.full(ITEMS, UNKNOWN_TIME),
        categories=sparse.csr_matrix((ITEMS, 0), dtype=bool),
    )


def rows_of(content: ItemContent, kept: Bools) -> ItemContent:
    return ItemContent(
        IdIndex(tuple(one for one, there in zip(content.items.ids, kept, strict=True) if there)),
        {name: rows[kept] for name, rows in content.vectors.items()},
        {name: rows[kept] for name, rows in content.present.items()},
        content.created_at[kept],
        content.categories[kept],
    )


def test_canonical_correlations_are_those_of_the_definition() -> None:
    left, right = two_sides()
    cca = Cca.fit(left, right, rank=9, shrinkage=1e-9)
    one, other = left @ cca.left, right @ cca.right
    covariance = np.cov(np.hstack([one, other]).T, bias=True)
    lengths = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(lengths, lengths)
    # the largest roots of |Cxx^-1 Cxy Cyy^-1 Cyx - rho^2 I|, computed without any square root of a matrix
    xx, yy, xy = left.T @ left, right.T @ right, left.T @ right
    roots = np.linalg.eigvals(np.linalg.solve(xx, xy) @ np.linalg.solve(yy, xy.T)).real
    expected = np.sqrt(np.sort(roots)[::-1][:9].clip(0))
    np.testing.assert_allclose(correlation[:9, 9:].diagonal(), expected, atol=1e-3)
    off = correlation[:9, :9] - np.eye(9)
    np.testing.assert_allclose(off, 0, atol=2e-3)  # directions of one side do not go together
    np.testing.assert_allclose(lengths[:9], expected, atol=1e-3)  # scaled by their correlation


def test_ranks_count_from_one_and_ties_against_the_own_row() -> None:
    asked = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    np.testing.assert_array_equal(ranks(asked, asked), [1, 1])
    np.testing.assert_array_equal(ranks(asked, np.ones((2, 2), np.float32)), [2, 2])
    np.testing.assert_array_equal(ranks(asked, asked[::-1].copy()), [2, 2])
    assert mean_recall(asked, asked[::-1].copy(), depth=1) == 0


def test_unseen_items_find_their_other_side() -> None:
    content = world()
    known = np.arange(ITEMS) < 180
    model = CrossModal.fit(rows_of(content, known), Modality.TEXT, Modality.IMAGE)
    text, image = (model.place(side, content.vectors[side][~known]) for side in (Modality.TEXT, Modality.IMAGE))
    assert mean_recall(text, image) > 0.8 > 10 / 60
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, rtol=1e-5)


def test_an_item_that_lacks_a_side_has_no_place_and_teaches_nothing() -> None:
    some = np.arange(ITEMS) % 4 > 0
    content = world(present=some)
    (name, model), *none = fit_pairs(content).items()
    assert (name, none) == ("image-text", [])
    vectors = content.vectors[Modality.IMAGE] * some[:, None]
    placed = model.place(Modality.IMAGE, vectors)
    np.testing.assert_array_equal(placed.any(axis=1), some)
    alone = CrossModal.fit(rows_of(content, some), Modality.IMAGE, Modality.TEXT)
    np.testing.assert_array_equal(placed[some], alone.place(Modality.IMAGE, vectors[some]))


def test_a_pair_of_few_items_has_no_model() -> None:
    assert fit_pairs(world(present=np.arange(ITEMS) < 99)) == {}
    assert set(fit_pairs(world(present=np.arange(ITEMS) < 100))) == {"image-text"}


def test_a_model_is_read_as_it_was_written(tmp_path: Path) -> None:
    content = world()
    model = CrossModal.fit(content, Modality.TEXT, Modality.IMAGE)
    model.save(tmp_path / "model.safetensors")
    again = CrossModal.load(tmp_path / "model.safetensors")
    for side, vectors in content.vectors.items():
        np.testing.assert_array_equal(again.place(side, vectors), model.place(side, vectors))
    (tmp_path / "model.safetensors").write_bytes(b"{")
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        CrossModal.load(tmp_path / "model.safetensors")


def test_the_rank_that_finds_most_of_hidden_rows_is_taken() -> None:
    """Sixteen strong directions and noise: more axes than directions find less."""
    draw = np.random.default_rng(3)
    shared = draw.normal(size=(400, 16))
    sides = (shared @ draw.normal(size=(16, 96)) + 4 * draw.normal(size=(400, 96)) for _ in range(2))
    left, right = (np.asarray(one - one.mean(axis=0), np.float32) for one in sides)
    known, hidden = slice(0, 300), slice(300, None)
    found = {
        setting: mean_recall(*one.project(left[hidden], right[hidden]))
        for setting, one in Cca.grid(left[known], right[known])
    }
    setting = tuned(left[known], right[known])
    assert found[setting] >= 0.9 * max(found.values()) > 10 / 100
    assert setting in found
