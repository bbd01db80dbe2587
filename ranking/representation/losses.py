"""Losses of the alignment, one function each.

Two ask *which item does this user like?* of scores [b, n] of every item (`user_item_softmax`, `bpr`). Four pull
together the two vectors of one thing, and apart those of different things, in a batch of pairs (`info_nce`, `sigmoid`,
`triplet`, `alignment_uniformity`): two modalities of an item, or a user's history and the item. There `excluded`, bool
[b, b], marks pairs (row of left, row of right) that are no negatives, because the same people like both.
"""

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

MARGIN: Final = 0.2  # of the triplet loss, in cosine (Schroff et al. 2015, section 3.2)


def user_item_softmax(scores: Tensor, target: Tensor, other_positives: Tensor) -> Tensor:
    """Cross-entropy of each user's target among all items but the user's other positives.

    scores: float32 [b, n], already divided by the temperature. target: int64 [b]. other_positives: bool [b, n], the
    target not among them. Averaged over the batch; source: the full softmax of Covington et al. 2016, eq. 1.
    """
    return F.cross_entropy(scores.masked_fill(other_positives, -torch.inf), target)


def bpr(scores: Tensor, target: Tensor, other_positives: Tensor) -> Tensor:
    """-log sigmoid(score of the target - score of another item), averaged over the other items, then over users.

    Arguments as of `user_item_softmax`. Bayesian personalised ranking (Rendle et al. 2009, section 4.1) draws one
    negative at random; the mean over all is its expectation. 0 for a user who likes every item.
    """
    negative = ~other_positives
    negative[torch.arange(len(target)), target] = False
    above = F.logsigmoid(scores.gather(1, target[:, None]) - scores).masked_fill(~negative, 0)
    return -(above.sum(1) / negative.sum(1).clamp(min=1)).mean()


def info_nce(left: Tensor, right: Tensor, temperature: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Symmetric contrastive loss of two views of the same items (Radford et al. 2021, figure 3).

    left, right: float32 [b, d], unit rows, row i of both is one item; the other rows of the batch are its negatives.
    """
    similarity = _without(left @ right.T / temperature, excluded, -torch.inf)
    same = torch.arange(len(left))
    return (F.cross_entropy(similarity, same) + F.cross_entropy(similarity.T, same)) / 2


def sigmoid(left: Tensor, right: Tensor, temperature: Tensor, bias: Tensor, excluded: Tensor | None = None) -> Tensor:
    """Every pair by itself: same or not? (SigLIP, Zhai et al. 2023, algorithm 1), summed, divided by the rows.

    left, right: as of `info_nce`. bias: a scalar that is learned; it starts at -10, as most pairs are negatives.
    """
    logits = left @ right.T / temperature + bias
    signs = 2 * torch.eye(len(left)) - 1
    return -_without(F.logsigmoid(signs * logits), excluded, 0).sum() / len(left)


def triplet(left: Tensor, right: Tensor, excluded: Tensor | None = None, *, margin: float = MARGIN) -> Tensor:
    """Symmetric triplet loss with semi-hard negatives (Schroff et al. 2015, eq. 3 and section 3.2), in cosine.

    left, right: as of `info_nce`. The negative of a row is the most similar one that is less similar than its own;
    where there is none, the least similar one. The loss of a row is max(0, margin + similarity of the negative - of its
    own), averaged over rows and both ways; 0 for rows without any negative.
    """
    similarity = left @ right.T
    return (_triplet_rows(similarity, excluded, margin) + _triplet_rows(similarity.T, _turned(excluded), margin)) / 2


def alignment_uniformity(left: Tensor, right: Tensor) -> Tensor:
    """Mean squared distance of a pair, plus the mean uniformity of both sides (Wang & Isola 2020, section 4).

    left, right: as of `info_nce`. Both terms weigh 1. Uniformity is log mean exp(-2 |x - y|^2) over pairs of different
    rows of one side; of a single row 0. Pairs across the sides are no negatives, so none can be left out.
    """
    return (left - right).square().sum(1).mean() + (_uniformity(left) + _uniformity(right)) / 2


def _uniformity(rows: Tensor) -> Tensor:
    if len(rows) < 2:
        return rows.new_zeros(())
    squared = torch.pdist(rows).square()
    return squared.mul(-2).exp().mean().log()


def _triplet_rows(similarity: Tensor, excluded: Tensor | None, margin: float) -> Tensor:
    own = similarity.diagonal()[:, None]
    negative = _without(~torch.eye(len(similarity), dtype=torch.bool), excluded, False)
    easier = negative & (similarity < own)
    semi_hard = similarity.masked_fill(~easier, -torch.inf).amax(1)
    easiest = similarity.masked_fill(~negative, torch.inf).amin(1)
    chosen = torch.where(easier.any(1), semi_hard, easiest)
    lost = F.relu(margin + chosen - own[:, 0])
    return torch.where(negative.any(1), lost, 0).mean()


def _without(values: Tensor, excluded: Tensor | None, filler: float) -> Tensor:
    """The filler where a pair is no negative; a row's own pair is never left out."""
    if excluded is None:
        return values
    return values.masked_fill(excluded & ~torch.eye(len(excluded), dtype=torch.bool), filler)


def _turned(excluded: Tensor | None) -> Tensor | None:
    return None if excluded is None else excluded.T
