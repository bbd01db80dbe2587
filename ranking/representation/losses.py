"""Losses of the alignment."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with


def user_item_softmax(scores: Tensor, target: Tensor, other_positives: Tensor) -> Tensor:
    """Cross-entropy of each user's target among all items but the user's other positives.

    scores: float32 [b, n], already divided by the temperature. target: int64 [b]. other_positives: bool [b, n], the
    target not among them. Averaged over the batch; source: the full softmax of Covington et al. 2016, eq. 1.
    """
    return F.cross_entropy(scores.masked_fill(other_positives, -torch.inf), target)


def info_nce(left: Tensor, right: Tensor, temperature: Tensor) -> Tensor:
    """Symmetric contrastive loss of two views of the same items (Radford et al. 2021, figure 3).

    left, right: float32 [b, d], unit rows, row i of both is one item; the other rows of the batch are its negatives.
    """
    similarity = left @ right.T / temperature
    same = torch.arange(len(left))
    return (F.cross_entropy(similarity, same) + F.cross_entropy(similarity.T, same)) / 2
