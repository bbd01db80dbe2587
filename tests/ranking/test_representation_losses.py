"""Every loss against its definition, written out, or a stock formula of torch."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ranking.representation.losses import alignment_uniformity, bpr, info_nce, sigmoid, triplet, user_item_softmax

ROWS = 6
EXCLUDED = torch.from_numpy(np.random.default_rng(2).random((ROWS, ROWS)) < 0.3)  # the diagonal too: without effect


def sides() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    left, right = (F.normalize(torch.randn(ROWS, 3, generator=draw), dim=1) for _ in range(2))
    return left, right


def allowed(row: int, excluded: Tensor) -> list[int]:
    """The other columns that are negatives of a row."""
    return [column for column in range(ROWS) if column != row and not excluded[row, column]]


def test_user_item_softmax_leaves_other_positives_out() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0]])
    loss = user_item_softmax(scores, torch.tensor([1]), torch.tensor([[False, False, True, False]]))
    assert loss.item() == pytest.approx(np.log(np.exp([1, 2, 0]).sum()) - 2)


def test_bpr_compares_the_target_with_every_negative() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
    others = torch.tensor([[False, False, True, False], [False, True, True, True]])
    loss = bpr(scores, torch.tensor([1, 0]), others)
    first = (np.log1p(np.exp(1 - 2)) + np.log1p(np.exp(0 - 2))) / 2
    assert loss.item() == pytest.approx(first / 2)  # the second user likes everything: no negative, no loss


@pytest.mark.parametrize("excluded", [torch.zeros(ROWS, ROWS, dtype=torch.bool), EXCLUDED])
def test_info_nce_equals_its_definition(excluded: Tensor) -> None:
    left, right = sides()
    similarity = (left @ right.T / 0.2).double()
    expected = 0.0
    for way, out in ((similarity, excluded), (similarity.T, excluded.T)):
        for row in range(ROWS):
            among = way[row, [row, *allowed(row, out)]]
            expected += (among.logsumexp(0) - way[row, row]).item() / (2 * ROWS)
    assert info_nce(left, right, torch.tensor(0.2), excluded).item() == pytest.approx(expected, rel=1e-5)


def test_sigmoid_is_binary_cross_entropy_of_same_or_not() -> None:
    left, right = sides()
    logits = left @ right.T / 0.1 - 10
    stock = F.binary_cross_entropy_with_logits(logits, torch.eye(ROWS), reduction="none")
    loss = sigmoid(left, right, torch.tensor(0.1), torch.tensor(-10.0))
    assert loss.item() == pytest.approx(stock.sum().item() / ROWS, rel=1e-5)
    kept = ~EXCLUDED | torch.eye(ROWS, dtype=torch.bool)
    masked = sigmoid(left, right, torch.tensor(0.1), torch.tensor(-10.0), EXCLUDED)
    assert masked.item() == pytest.approx(stock[kept].sum().item() / ROWS, rel=1e-5)


@pytest.mark.parametrize("excluded", [torch.zeros(ROWS, ROWS, dtype=torch.bool), EXCLUDED])
def test_triplet_takes_the_hardest_negative_that_is_easier_than_the_own_row(excluded: Tensor) -> None:
    left, right = sides()
    similarity = left @ right.T
    expected = 0.0
    for way, out in ((similarity, excluded), (similarity.T, excluded.T)):
        for row in range(ROWS):
            own = way[row, row].item()
            negatives = [way[row, column].item() for column in allowed(row, out)]
            if negatives:
                easier = [one for one in negatives if one < own]
                chosen = max(easier) if easier else min(negatives)
                expected += max(0.0, 0.2 + chosen - own) / (2 * ROWS)
    assert triplet(left, right, excluded).item() == pytest.approx(expected, rel=1e-5)
    assert triplet(left[:1], right[:1]).item() == 0  # nothing to be told apart from


def test_alignment_and_uniformity_equal_their_definition() -> None:
    left, right = sides()
    apart = (left - right).norm(dim=1).pow(2).mean()
    uniform = [torch.pdist(one).pow(2).mul(-2).exp().mean().log() for one in (left, right)]  # the authors' code
    assert alignment_uniformity(left, right).item() == pytest.approx((apart + sum(uniform) / 2).item(), rel=1e-5)
    even = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert alignment_uniformity(even, even).item() == pytest.approx(-8)  # log exp(-2 * 2^2)
    assert alignment_uniformity(even[:1], -even[:1]).item() == pytest.approx(4)
