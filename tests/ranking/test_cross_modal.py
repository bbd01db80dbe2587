"""The closed form against its definition, and which model a pair of modalities keeps."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from feature_repo.schema import Modality
from ranking.errors import ArtifactError
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.cca import Cca, mean_recall, ranks
from ranking.representation.content import UNKNOWN_TIME
from ranking.representation.cross_modal import CCA, CONTRASTIVE, CrossModal
from ranking.types import Floats, IdIndex, Interactions, ItemContent

ITEMS = 240
QUICK = AlignmentConfig(user_items=0, hidden=0, steps=10, batch=64)


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


def nobody() -> Interactions:
    codes, none = np.array([], np.int32), np.array([], object)
    index = IdIndex(tuple(f"i{row:03}" for row in range(ITEMS)))
    floats, bools = np.array([], np.float32), np.array([], bool)
    return Interactions(IdIndex(("u",)), index, codes, codes, codes.astype(np.int64), floats, bools, none, none)


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


def test_hidden_items_find_their_other_side() -> None:
    content = world()
    found = CrossModal.fit(content, nobody(), contrast=QUICK)
    (pair,) = found.pairs.values()
    assert pair.hidden == 48
    assert pair.chosen == max(pair.recall, key=lambda one: pair.recall[one]) == CCA  # ten steps teach little
    assert pair.recall[CCA] > 0.8 > 10 / 48
    assert found.contrastive is None
    vectors = found.vectors(content, "text", "image")
    assert mean_recall(vectors["text"], vectors["image"]) > 0.8 * pair.recall[CCA]
    np.testing.assert_array_equal(vectors["text"], found.vectors(content, "image", "text")["text"])
    with pytest.raises(KeyError, match="audio-text"):
        found.vectors(content, "text", "audio")


def test_the_contrastive_model_is_kept_where_it_finds_more(tmp_path: Path) -> None:
    """The picture shows squares of what the text says: no correlation for CCA, but something for an MLP to learn."""
    said = np.random.default_rng(1).normal(size=(ITEMS, 2)).astype(np.float32)
    content = world()
    content = replace(content, vectors={Modality.TEXT: said, Modality.IMAGE: np.hstack([said**2, -(said**2)])})
    learned = AlignmentConfig(user_items=0, hidden=64, steps=150, batch=128, learning_rate=1e-2, contrast_dropout=0.0)
    found = CrossModal.fit(content, nobody(), contrast=learned)
    assert found.pairs["image-text"].chosen == CONTRASTIVE, found.pairs
    vectors = found.vectors(content, "text", "image")
    np.testing.assert_allclose(np.linalg.norm(vectors["text"], axis=1), 1, atol=1e-5)
    found.save(tmp_path)
    again = CrossModal.load(tmp_path).vectors(content, "text", "image")
    np.testing.assert_array_equal(again["image"], vectors["image"])


def test_a_missing_side_has_no_vector_and_a_pair_of_few_items_no_model(tmp_path: Path) -> None:
    some = np.arange(ITEMS) % 4 > 0
    content = world(present=some)
    found = CrossModal.fit(content, nobody(), contrast=QUICK)
    assert not found.vectors(content, "text", "image")["image"][~some].any()
    found.save(tmp_path)
    again = CrossModal.load(tmp_path)
    assert again.pairs == found.pairs
    np.testing.assert_array_equal(
        again.vectors(content, "text", "image")["text"], found.vectors(content, "image", "text")["text"]
    )
    few = CrossModal.fit(world(present=np.arange(ITEMS) < 60), nobody(), contrast=QUICK)
    assert not few.pairs
    (tmp_path / "cross_modal.json").write_text("{")
    with pytest.raises(ArtifactError):
        CrossModal.load(tmp_path)


def test_what_is_hidden_is_not_learned_from() -> None:
    content = world()
    hidden = np.random.default_rng(0).permutation(ITEMS)[: ITEMS // 5]
    shuffled = {name: x.copy() for name, x in content.vectors.items()}
    shuffled[Modality.IMAGE][hidden] = shuffled[Modality.IMAGE][np.roll(hidden, 1)]  # wrong pictures among the hidden
    found = CrossModal.fit(replace(content, vectors=shuffled), nobody(), contrast=QUICK)
    assert found.pairs["image-text"].recall[CCA] < 0.4  # chance 10 of 48
