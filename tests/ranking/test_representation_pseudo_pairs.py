from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from feature_repo.schema import Modality
from ranking.representation.alignment import Alignment, AlignmentConfig
from ranking.representation.alignment_training import Trainer
from ranking.representation.behaviour import positives
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.heads import AlignmentNetwork
from ranking.representation.inputs import Masked, unit_rows
from ranking.representation.pseudo_pairs import (
    EVIDENCE,
    PseudoPairConfig,
    find_pseudo_pairs,
    least_confidence,
    mutual_neighbours,
)
from ranking.splits import Protocol, split
from ranking.types import IdIndex, Interactions

GROUPS, EACH, USERS, COLD = 12, 15, 240, 3  # the last three items of each group have no event
ITEMS = GROUPS * EACH
IS_COLD = np.arange(ITEMS) % EACH >= EACH - COLD


def world(*, telling: bool = True, noise: float = 0.3) -> tuple[ItemContent, Interactions]:
    """Groups of items with an audience of their own; their text says which group it is, or nothing if not `telling`."""
    rng = np.random.default_rng(0)
    group = np.arange(ITEMS) // EACH
    shown = rng.normal(size=(GROUPS, 24))[group] if telling else rng.normal(size=(ITEMS, 24))
    content = ItemContent(
        items=IdIndex(tuple(f"i{row:03}" for row in range(ITEMS))),
        vectors={Modality.TEXT: np.asarray(shown + noise * rng.normal(size=(ITEMS, 24)), np.float32)},
        present={Modality.TEXT: np.ones(ITEMS, bool)},
        created_at=np.full(ITEMS, UNKNOWN_TIME),
        categories=sparse.csr_matrix((ITEMS, 0), dtype=bool),
    )
    likes = (np.arange(USERS)[:, None] % GROUPS == group) & (rng.random((USERS, ITEMS)) < 0.5) & ~IS_COLD
    user, item = np.nonzero(likes)
    order, none = rng.permutation(len(user)), np.full(len(user), None, object)
    log = Interactions(
        users=IdIndex(tuple(f"u{row:03}" for row in range(USERS))),
        items=content.items,
        user=user[order].astype(np.int32),
        item=item[order].astype(np.int32),
        occurred_at=np.arange(len(user)),
        weight=np.ones(len(user), np.float32),
        positive=np.ones(len(user), bool),
        device=none,
        place=none,
    )
    return content, log


CONTENT, TRAIN = world()
PAIRS = find_pseudo_pairs(CONTENT, TRAIN)


def test_pairs_join_items_without_behaviour_and_items_of_the_same_audience() -> None:
    assert len(PAIRS.item) > GROUPS
    assert IS_COLD[PAIRS.item].all()
    assert not IS_COLD[PAIRS.neighbour].any()
    assert (PAIRS.item // EACH == PAIRS.neighbour // EACH).all()
    assert (np.diff(PAIRS.confidence) <= 0).all()
    assert PAIRS.confidence.min() >= PAIRS.threshold
    assert PAIRS.precision >= PseudoPairConfig().least_precision


def test_caps_hold_and_leave_the_most_confident_pairs() -> None:
    free = find_pseudo_pairs(CONTENT, TRAIN, config=PseudoPairConfig(per_item=5, share=1.0))
    capped = find_pseudo_pairs(CONTENT, TRAIN, config=PseudoPairConfig(per_item=2, share=1.0))
    assert np.bincount(free.item).max() > 2
    assert np.bincount(capped.item).max() == 2
    best = {item: set(free.neighbour[free.item == item][:2].tolist()) for item in free.item.tolist()}
    assert {item: set(capped.neighbour[capped.item == item].tolist()) for item in capped.item.tolist()} == best
    few = find_pseudo_pairs(CONTENT, TRAIN, config=PseudoPairConfig(per_item=5, share=10.5 / positives(TRAIN).nnz))
    np.testing.assert_array_equal(few.item, free.item[:10])
    np.testing.assert_array_equal(few.neighbour, free.neighbour[:10])


def test_content_that_says_nothing_gives_no_pair() -> None:
    pairs = find_pseudo_pairs(*world(telling=False), config=PseudoPairConfig(least_precision=0.95))
    assert len(pairs.item) == 0
    assert (pairs.threshold, pairs.precision) == (np.inf, 0.0)


def test_items_with_little_behaviour_may_be_given_pairs_too() -> None:
    likes = np.asarray(positives(TRAIN).sum(0)).ravel()
    most = int(np.quantile(likes[likes > 0], 0.2))
    pairs = find_pseudo_pairs(CONTENT, TRAIN, config=PseudoPairConfig(max_likes=most, share=1.0))
    assert ((likes[pairs.item] > 0) & (likes[pairs.item] <= most)).any()
    assert (likes[pairs.neighbour] > most).all()


@pytest.mark.parametrize("events", [0, 1, 30])
def test_too_little_behaviour_gives_no_pair(events: int) -> None:
    assert len(find_pseudo_pairs(CONTENT, TRAIN.where(np.arange(len(TRAIN)) < events)).item) == 0


@settings(max_examples=25)
@given(seed=st.integers(0, 999), left=st.integers(0, 9), right=st.integers(0, 9), k=st.integers(1, 6))
def test_mutual_neighbours_equal_brute_force(seed: int, left: int, right: int, k: int) -> None:
    vectors = unit_rows(np.random.default_rng(seed).normal(size=(20, 4)).astype(np.float32))
    codes = np.random.default_rng(seed).permutation(20)
    one, other = np.sort(codes[:left]), np.sort(codes[left : left + right])
    cosine = vectors @ vectors.T
    expected = {
        (a, b)
        for a in one.tolist()
        for b in other.tolist()
        if (cosine[a, other] > cosine[a, b]).sum() < k and (cosine[b, one] > cosine[a, b]).sum() < k
    }
    found = mutual_neighbours(vectors, one, other, k)
    assert set(zip(found[0].tolist(), found[1].tolist(), strict=True)) == expected
    assert len(found[0]) == len(expected)
    np.testing.assert_allclose(found[2], cosine[found[0], found[1]], atol=1e-6)
    assert (np.diff(found[2]) <= 0).all()


def test_the_threshold_ends_the_longest_run_that_is_precise_enough() -> None:
    confidence = np.linspace(1, 0, 2 * EVIDENCE + 1, dtype=np.float32)
    right = np.arange(len(confidence)) < EVIDENCE
    assert least_confidence(confidence, right, 1.0) == (confidence[EVIDENCE - 1], 1.0)
    assert least_confidence(confidence, right, 0.5) == (confidence[2 * EVIDENCE - 1], 0.5)
    assert least_confidence(confidence, ~right, 1.0) == (np.inf, 0.0)
    assert least_confidence(confidence[: EVIDENCE - 1], right[: EVIDENCE - 1], 0.1) == (np.inf, 0.0)


def test_a_pseudo_user_likes_the_two_items_of_a_pair() -> None:
    users = PAIRS.as_users(ITEMS)
    assert users.shape == (len(PAIRS.item), ITEMS)
    np.testing.assert_array_equal(
        np.sort(users.indices.reshape(-1, 2)), np.sort([PAIRS.item, PAIRS.neighbour], axis=0).T
    )
    assert (users.data == 1).all()


# the alignment


def test_pseudo_pairs_bring_their_items_together() -> None:
    content, train = world(noise=1.0)
    pairs = find_pseudo_pairs(content, train)
    assert len(pairs.item) > GROUPS
    cosine = {}
    for asked in (False, True):
        config = AlignmentConfig(steps=60, pseudo_pairs=asked)
        vectors = Alignment.fit(content, train, config=config).item_vectors(content)
        cosine[asked] = float((vectors[pairs.item] * vectors[pairs.neighbour]).sum(axis=1).mean())
    assert cosine[True] > cosine[False] + 0.02


def test_pairs_come_from_the_training_part_whatever_happens_later() -> None:
    """The same past and two futures: in the second, everybody takes items that nobody has met before."""
    later = TRAIN.occurred_at >= split(TRAIN, Protocol.P1, min_users=1).cutoff
    unmet = np.resize(np.flatnonzero(IS_COLD), len(TRAIN)).astype(np.int32)
    craze = replace(TRAIN, item=np.where(later, unmet, TRAIN.item))
    asked = [split(log, Protocol.P1, min_users=1) for log in (TRAIN, craze)]
    assert asked[0].cutoff == asked[1].cutoff
    known, same = (find_pseudo_pairs(CONTENT, one.train) for one in asked)
    assert len(known.item) > GROUPS
    for name in ("item", "neighbour", "precision"):
        np.testing.assert_array_equal(getattr(known, name), getattr(same, name))
    for name in ("confidence", "threshold"):  # sums may round another way, wherever in memory their terms lie
        np.testing.assert_allclose(getattr(known, name), getattr(same, name), rtol=1e-5)
    assert not len(find_pseudo_pairs(CONTENT, craze).item)  # who knew the future would take nobody's items for met
    config = AlignmentConfig(steps=5, pseudo_pairs=True)
    vectors = [Alignment.fit(CONTENT, one.train, config=config).item_vectors(CONTENT) for one in asked]
    np.testing.assert_array_equal(*vectors)


def test_where_no_pair_is_found_asking_for_them_changes_nothing() -> None:
    few = TRAIN.where(np.arange(len(TRAIN)) < 30)
    assert not len(find_pseudo_pairs(CONTENT, few).item)
    config = AlignmentConfig(steps=5)
    one, other = (Alignment.fit(CONTENT, few, config=replace(config, pseudo_pairs=asked)) for asked in (False, True))
    np.testing.assert_array_equal(one.item_vectors(CONTENT), other.item_vectors(CONTENT))


def test_an_item_that_nobody_has_met_is_no_negative() -> None:
    liked = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1]], np.float32))
    unmet = np.array([False, False, False, True])  # liked by the last, a pseudo-user, alone
    config = AlignmentConfig(modality_dropout=0.0, contrast=0.0)

    def losses(last: float) -> tuple[float, float]:
        torch.manual_seed(0)
        values = np.vstack([np.eye(3, 5), np.eye(5)[3] * last]).astype(np.float32)
        network = AlignmentNetwork({"text": 5}, dim=4, hidden=4)
        network.popularity["text"].weight.data[0, 3] = 1
        rows = {"text": [Masked(values, np.ones(4, bool))]}
        trainer = Trainer(network, rows, liked, config, np.random.default_rng(0), never_negative=unmet)
        real = trainer.loss(np.array([0, 1]), np.array([1, 2], np.int32), contrast=False)
        pseudo = trainer.loss(np.array([2]), np.array([3], np.int32), contrast=False)
        return real.item(), pseudo.item()

    (real, pseudo), (real_again, pseudo_again) = losses(1.0), losses(3.0)
    assert real == real_again  # however likely the unmet item is made
    assert pseudo_again < pseudo
