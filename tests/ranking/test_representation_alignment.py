from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from feature_repo.schema import Modality
from ranking.errors import ArtifactError
from ranking.representation.alignment import Alignment, user_vectors
from ranking.representation.alignment_config import AlignmentConfig, Loss, Optimizer, PairLoss
from ranking.representation.behaviour import audience_cosines, item_factors, positives
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.factor_mapping_choice import choose
from ranking.representation.inputs import Inputs, Masked
from ranking.types import Bools, Floats, IdIndex, Interactions, Queries

USERS, ITEMS, COLD = 150, 400, 80  # the last 80 items have no event
QUICK = AlignmentConfig(steps=20)


def unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def planted_world(seed: int = 0) -> tuple[ItemContent, Interactions, Bools]:
    """Content, the likes of warm items, and the cold items each user would like: bool [users, COLD].

    Six tastes decide what is liked. Text and picture show them among 18 louder directions that no user cares for.
    """
    rng = np.random.default_rng(seed)
    taste, noise = rng.normal(size=(ITEMS, 6)), rng.normal(size=(2, ITEMS, 18)) * 1.5
    shown = [np.hstack([taste, one]) @ rng.normal(size=(24, width)) for one, width in zip(noise, (32, 48), strict=True)]
    liking = rng.normal(size=(USERS, 6)) @ taste.T + rng.gumbel(size=(USERS, ITEMS))
    likes = liking > np.quantile(liking, 0.93, axis=1, keepdims=True)
    user, item = np.nonzero(likes[:, :-COLD])
    order = rng.permutation(len(user))
    return content_of(*shown), log_of(user[order], item[order]), likes[:, -COLD:]


def content_of(text: Floats, image: Floats) -> ItemContent:
    n = len(text)
    return ItemContent(
        items=IdIndex(tuple(f"i{row:03}" for row in range(n))),
        vectors={Modality.TEXT: text.astype(np.float32) + 2, Modality.IMAGE: image.astype(np.float32) - 1},
        present={Modality.TEXT: np.ones(n, bool), Modality.IMAGE: np.ones(n, bool)},
        created_at=np.full(n, UNKNOWN_TIME),
        categories=sparse.csr_matrix((n, 0), dtype=bool),
    )


def log_of(user: np.ndarray, item: np.ndarray, n_items: int = ITEMS) -> Interactions:
    n = len(user)
    none = np.full(n, None, object)
    return Interactions(
        users=IdIndex(tuple(f"u{row:03}" for row in range(USERS))),
        items=IdIndex(tuple(f"i{row:03}" for row in range(n_items))),
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        occurred_at=np.arange(n),
        weight=np.ones(n, np.float32),
        positive=np.ones(n, bool),
        device=none,
        place=none,
    )


def everyone(log: Interactions) -> Queries:
    users = np.arange(len(log.users), dtype=np.int32)
    return Queries.from_interactions(log, users, np.full(len(users), 10**9))


def precision_at_5(scores: Floats, relevant: Bools) -> float:
    best = np.argsort(-scores, axis=1)[:, :5]
    return float(np.take_along_axis(relevant, best, 1).mean())


CONTENT, TRAIN, LIKED_COLD = planted_world()


@cache
def fitted() -> Alignment:
    return Alignment.fit(CONTENT, TRAIN, seed=0)


@cache
def fitted_mapping() -> FactorMapping:
    return FactorMapping.fit(CONTENT, TRAIN)


@cache
def predicted() -> Floats:
    return fitted_mapping().item_vectors(CONTENT)


def mapping_of(*heads: str) -> FactorMapping:
    """The fitted mapping as if these heads had been chosen."""
    return replace(fitted_mapping(), choice=replace(fitted_mapping().choice, heads=heads), _answered={})


def test_alignment_and_factor_mapping_rank_new_items_better_than_centred_content() -> None:
    masked = fitted().inputs.of(CONTENT)
    raw = unit(np.hstack([one.values for one in masked.values()]))
    precision = {}
    for name, history, items in (
        ("content", raw, raw),
        ("alignment", fitted().item_vectors(CONTENT), fitted().item_vectors(CONTENT)),
        ("mapping", fitted_mapping().history_vectors(predicted()), predicted()),
    ):
        scores = user_vectors(history, everyone(TRAIN)) @ items[-COLD:].T
        precision[name] = precision_at_5(scores, LIKED_COLD)
    assert precision["alignment"] > 1.3 * precision["content"], precision
    assert precision["mapping"] > 1.3 * precision["content"], precision
    assert precision["content"] > LIKED_COLD.mean(), precision


def test_vectors_are_of_unit_length_and_finite() -> None:
    vectors = fitted().item_vectors(CONTENT)
    assert vectors.shape == (ITEMS, 128)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.isfinite(fitted().item_bias(CONTENT)).all()


def test_the_same_seed_gives_the_same_alignment() -> None:
    one, other = (Alignment.fit(CONTENT, TRAIN, config=QUICK, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.item_vectors(CONTENT), other.item_vectors(CONTENT))
    third = Alignment.fit(CONTENT, TRAIN, config=QUICK, seed=4)
    assert not np.allclose(one.item_vectors(CONTENT), third.item_vectors(CONTENT))


def test_fitting_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Alignment.fit(CONTENT, TRAIN, config=replace(QUICK, steps=1))
    assert torch.equal(torch.rand(3), expected)


def test_a_missing_modality_is_masked() -> None:
    absent = np.arange(ITEMS) < 10
    lacking = replace(
        CONTENT,
        vectors={**CONTENT.vectors, Modality.IMAGE: np.where(absent[:, None], 1e6, CONTENT.vectors[Modality.IMAGE])},
        present={**CONTENT.present, Modality.IMAGE: ~absent},
    )
    vectors = fitted().item_vectors(lacking)
    text_only = fitted().item_vectors(CONTENT, without=frozenset({Modality.IMAGE}))
    np.testing.assert_allclose(vectors[:10], text_only[:10], atol=1e-6)
    np.testing.assert_allclose(vectors[:10], fitted().modality_vectors(CONTENT)["text"][:10], atol=1e-6)
    np.testing.assert_allclose(vectors[10:], fitted().item_vectors(CONTENT)[10:], atol=1e-6)


def test_an_item_without_any_modality_has_a_zero_vector() -> None:
    nothing = replace(CONTENT, present={name: np.zeros(ITEMS, bool) for name in CONTENT.present})
    assert not fitted().item_vectors(nothing).any()
    assert not fitted().item_bias(nothing).any()
    assert not fitted().item_vectors(CONTENT, without=frozenset(CONTENT.vectors)).any()


def test_a_vector_depends_on_its_own_item_alone() -> None:
    few = replace(
        CONTENT,
        items=IdIndex(CONTENT.items.ids[:3]),
        vectors={name: one[:3] for name, one in CONTENT.vectors.items()},
        present={name: one[:3] for name, one in CONTENT.present.items()},
        created_at=CONTENT.created_at[:3],
        categories=CONTENT.categories[:3],
    )
    np.testing.assert_allclose(fitted().item_vectors(few), fitted().item_vectors(CONTENT)[:3], atol=1e-5)


def test_a_user_is_the_normalised_sum_of_the_positive_history() -> None:
    vectors = fitted().item_vectors(CONTENT)
    log = log_of(np.array([0, 0, 0, 1]), np.array([4, 7, 9, 4]))
    log = replace(log, positive=np.array([True, True, False, True]))
    users = user_vectors(vectors, everyone(log))
    np.testing.assert_allclose(users[0], unit((vectors[4] + vectors[7])[None])[0], atol=1e-6)
    np.testing.assert_allclose(users[1], vectors[4], atol=1e-6)
    assert not users[2:].any()


@pytest.mark.parametrize("user", [[], [0, 1, 2]])
def test_without_pairs_to_learn_from_the_heads_stay_random_projections(user: list[int]) -> None:
    log = log_of(np.array(user), np.array(user))
    vectors = Alignment.fit(CONTENT, log).item_vectors(CONTENT)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_items_without_any_content_can_be_fitted() -> None:
    nothing = replace(CONTENT, vectors={}, present={})
    alignment = Alignment.fit(nothing, TRAIN, config=QUICK)
    assert alignment.item_vectors(nothing).shape == (ITEMS, 128)
    assert not alignment.item_vectors(nothing).any()


def test_alignment_and_factor_mapping_survive_saving(tmp_path: Path) -> None:
    (tmp_path / "alignment").mkdir()
    (tmp_path / "mapping").mkdir()
    fitted().save(tmp_path / "alignment")
    fitted_mapping().save(tmp_path / "mapping")
    alignment, mapping = Alignment.load(tmp_path / "alignment"), FactorMapping.load(tmp_path / "mapping")
    assert mapping.choice == fitted_mapping().choice
    assert alignment.config == fitted().config
    np.testing.assert_array_equal(alignment.item_vectors(CONTENT), fitted().item_vectors(CONTENT))
    np.testing.assert_array_equal(alignment.item_bias(CONTENT), fitted().item_bias(CONTENT))
    np.testing.assert_array_equal(mapping.item_vectors(CONTENT), predicted())


def test_a_damaged_alignment_is_refused(tmp_path: Path) -> None:
    fitted().save(tmp_path)
    (tmp_path / "alignment.json").write_text('{"dim": "many"}')
    with pytest.raises(ArtifactError, match=r"alignment\.json: not a readable AlignmentConfig"):
        Alignment.load(tmp_path)
    with pytest.raises(ArtifactError):
        FactorMapping.load(tmp_path)


def test_learning_sees_no_negative_feedback_and_no_cold_item() -> None:
    disliked = replace(TRAIN, positive=np.zeros(len(TRAIN), bool))
    assert positives(disliked).nnz == 0
    inputs = Inputs.fit(CONTENT, np.arange(ITEMS) < ITEMS - COLD)
    np.testing.assert_allclose(inputs.means["text"], CONTENT.vectors[Modality.TEXT][:-COLD].mean(0), rtol=1e-5)


def test_factors_of_all_dimensions_rebuild_what_the_audiences_share() -> None:
    liked = sparse.csr_matrix((np.random.default_rng(0).random((12, 30)) < 0.3).astype(np.float32))
    factors = item_factors(liked, dim=16)
    assert factors.shape == (30, 16)
    assert not factors[:, 11:].any()  # twelve users allow eleven
    per_user, per_item = liked.sum(1).A1, liked.sum(0).A1
    damped = liked.toarray() * per_user[:, None] ** -0.5 * np.maximum(per_item, 1) ** -0.25
    _, strength, right = np.linalg.svd(damped)
    np.testing.assert_allclose(factors @ factors.T, right[:11].T * strength[:11] @ right[:11], atol=1e-4)


def median_rank(alignment: Alignment) -> float:
    """Place of a cold item's picture among those of all cold items, asked by its text, from 0."""
    vectors = alignment.modality_vectors(CONTENT)
    similarity = vectors["text"][-COLD:] @ vectors["image"][-COLD:].T
    return float(np.median((similarity > similarity.diagonal()[:, None]).sum(1)))


def test_contrast_lets_one_modality_find_another() -> None:
    contrasted = Alignment.fit(CONTENT, TRAIN, config=AlignmentConfig(contrast=1.0, steps=100), seed=0)
    assert median_rank(contrasted) < COLD / 4  # chance: half


# what can be configured


@pytest.mark.parametrize("loss", list(Loss))
def test_every_loss_between_users_and_items_teaches_what_is_liked(loss: Loss) -> None:
    config = AlignmentConfig(loss=loss, batch=64, contrast=0, hidden=0)
    enough = 240 if loss is Loss.SIGMOID else 60  # its bias starts far off
    before, after = (
        precision_at_5(user_vectors(one, everyone(TRAIN)) @ one[-COLD:].T, LIKED_COLD)
        for one in (
            Alignment.fit(CONTENT, TRAIN, config=replace(config, steps=steps)).item_vectors(CONTENT)
            for steps in (0, enough)
        )
    )
    assert after > 1.2 * before, (before, after)


@pytest.mark.parametrize("loss", list(PairLoss))
def test_modalities_alone_find_each_other_by_every_loss(loss: PairLoss) -> None:
    config = AlignmentConfig(user_items=0, contrast_loss=loss, steps=60, batch=128, contrast_dropout=0.3)
    seen = np.arange(ITEMS) < ITEMS - COLD
    masked = replace(CONTENT, present=dict.fromkeys(CONTENT.present, seen))  # cold pairs stay unseen
    assert median_rank(Alignment.fit(masked, TRAIN, config=config)) < COLD / 4


@pytest.mark.parametrize("optimizer", [Optimizer.ADAM, Optimizer.SGD])
def test_other_optimizers_learn_too(optimizer: Optimizer) -> None:
    rate = 0.05 if optimizer is Optimizer.SGD else 2e-3
    config = AlignmentConfig(optimizer=optimizer, learning_rate=rate, weight_decay=1e-4, steps=60, batch=64)
    vectors = Alignment.fit(CONTENT, TRAIN, config=config).item_vectors(CONTENT)
    raw = unit(np.hstack([one.values for one in fitted().inputs.of(CONTENT).values()]))
    of_alignment, of_content = (
        precision_at_5(user_vectors(one, everyone(TRAIN)) @ one[-COLD:].T, LIKED_COLD) for one in (vectors, raw)
    )
    assert of_alignment > of_content


def test_a_linear_head_is_a_matrix() -> None:
    alignment = Alignment.fit(CONTENT, TRAIN, config=replace(QUICK, hidden=0))
    masked = alignment.inputs.of(CONTENT)["text"].values
    expected = unit(masked @ alignment.weights["heads.text.linear.weight"].T)
    np.testing.assert_allclose(alignment.modality_vectors(CONTENT)["text"], expected, atol=1e-5)


def test_behaviour_as_a_modality_is_read_of_what_the_training_part_knew(tmp_path: Path) -> None:
    alignment = Alignment.fit(CONTENT, TRAIN, config=replace(QUICK, behaviour=True))
    vectors = alignment.item_vectors(CONTENT)
    by_content = alignment.item_vectors(CONTENT, without=frozenset({"behaviour"}))
    known = np.bincount(TRAIN.item, minlength=ITEMS) > 0
    np.testing.assert_allclose(vectors[~known], by_content[~known], atol=1e-6)
    assert (np.abs(vectors - by_content)[known].max(axis=1) > 1e-3).all()
    alignment.save(tmp_path)
    np.testing.assert_array_equal(Alignment.load(tmp_path).item_vectors(CONTENT), vectors)
    other = replace(CONTENT, items=IdIndex(tuple(f"new{row:03}" for row in range(ITEMS))))
    np.testing.assert_allclose(alignment.item_vectors(other), by_content, atol=1e-6)


def test_items_of_one_audience_are_no_negatives_of_each_other() -> None:
    likers = sparse.csc_matrix(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0]], np.float32))
    cosines = audience_cosines(likers)
    assert cosines[0, 1] == pytest.approx(2 / np.sqrt(2 * 3))
    assert cosines[0, 2] == pytest.approx(1 / 2)
    assert not cosines[3].any()


def test_self_supervision_learns_of_items_that_nobody_likes() -> None:
    config = AlignmentConfig(self_supervised=100, steps=0, batch=128, contrast_dropout=0.3)
    nobody = log_of(np.array([], int), np.array([], int))
    assert median_rank(Alignment.fit(CONTENT, nobody, config=config)) < COLD / 8
    assert median_rank(Alignment.fit(CONTENT, nobody, config=replace(config, self_supervised=0))) > COLD / 4
    text_alone = replace(CONTENT, vectors={Modality.TEXT: CONTENT.vectors[Modality.TEXT]})
    assert np.isfinite(Alignment.fit(text_alone, nobody, config=config).item_vectors(text_alone)).all()


def test_augmented_views_are_drawn_from() -> None:
    noise = np.random.default_rng(5).normal(size=CONTENT.vectors[Modality.TEXT].shape)
    view = replace(CONTENT, vectors={**CONTENT.vectors, Modality.TEXT: (CONTENT.vectors[Modality.TEXT] + noise)})
    plain, same, augmented = (Alignment.fit(CONTENT, TRAIN, config=QUICK, views=one) for one in ([], [CONTENT], [view]))
    assert plain.inputs.means.keys() == augmented.inputs.means.keys()
    assert not np.allclose(same.item_vectors(CONTENT), augmented.item_vectors(CONTENT), atol=1e-3)


# factor mapping


def test_predicted_audiences_are_those_of_the_kernel_ridge() -> None:
    masked = fitted_mapping().inputs.of(CONTENT)
    warm = np.flatnonzero(np.bincount(TRAIN.item, minlength=ITEMS) > 0)
    kernel = 0.09 + sum(
        np.exp(-(((one.values[:, None] - one.values[None, warm]) ** 2).sum(2)))
        for head, one in masked.items()
        if head in fitted_mapping().choice.heads
    )
    shrunk = kernel[warm] + fitted_mapping().choice.strength * np.eye(len(warm))
    expected = kernel @ np.linalg.solve(shrunk, item_factors(positives(TRAIN))[warm])
    np.testing.assert_allclose(predicted(), expected, atol=1e-4)


def test_an_item_that_lacks_a_modality_is_predicted_as_if_nobody_had_it() -> None:
    both = mapping_of("image", "text")
    absent = np.arange(ITEMS) >= ITEMS - 10
    lacking = replace(CONTENT, present={**CONTENT.present, Modality.IMAGE: ~absent})
    text_only = both.item_vectors(CONTENT, without=frozenset({Modality.IMAGE}))
    np.testing.assert_allclose(both.item_vectors(lacking)[absent], text_only[absent], atol=1e-6)
    np.testing.assert_allclose(both.item_vectors(lacking)[~absent], both.item_vectors(CONTENT)[~absent], atol=1e-6)


def test_an_item_without_a_chosen_modality_is_predicted_by_what_it_has() -> None:
    by_text = mapping_of("text")
    by_image = mapping_of("image")
    lacking = replace(CONTENT, present={**CONTENT.present, Modality.TEXT: np.arange(ITEMS) > 0})
    np.testing.assert_allclose(by_text.item_vectors(lacking)[0], by_image.item_vectors(CONTENT)[0], atol=1e-5)
    nothing = replace(CONTENT, present={name: np.zeros(ITEMS, bool) for name in CONTENT.present})
    assert not by_text.item_vectors(nothing).any()


def test_a_modality_without_meaning_is_not_chosen() -> None:
    rows = fitted_mapping().inputs.of(CONTENT)
    noise = unit(np.random.default_rng(4).normal(size=(ITEMS, 8)))
    chosen = choose(rows | {"noise": Masked(noise, np.ones(ITEMS, bool))}, positives(TRAIN))
    assert "noise" not in chosen.heads
    assert chosen.ndcg["chosen"] >= max(chosen.ndcg[head] for head in rows)
    assert chosen.ndcg["noise"] < min(chosen.ndcg[head] for head in rows)


@pytest.mark.parametrize("user", [[], [0], [0, 1, 2]])
def test_with_nothing_to_ask_everything_is_read(user: list[int]) -> None:
    mapping = FactorMapping.fit(CONTENT, log_of(np.array(user, int), np.array(user, int)))
    assert mapping.choice.heads == tuple(fitted_mapping().inputs.means)
    assert np.isfinite(mapping.item_vectors(CONTENT)).all()
