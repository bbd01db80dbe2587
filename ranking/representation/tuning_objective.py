"""What a tuned encoder is asked for: the alignment's objective, with one modality's vectors as they come.

Two questions at once. *Which item does a user like, given what else the user likes?* (user-item softmax, as the
alignment is trained), and *which picture belongs to this text, and the other way round?* (symmetric InfoNCE, Radford et
al. 2021, figure 3, with the inputs' dropout that `docs/alignment.md` found to be needed).

Encoding every item at every step would take minutes, so both are asked about and among a few items that are encoded
anew (`live`); of the others the vectors are known as they were encoded last, a memory bank (Wu et al. 2018), for what a
user liked before. They are not offered beside the live ones: these would then gain most by moving away from the old
vectors, all in the same direction, which teaches nothing (with frozen heads the loss rose from 3.1 to 5.1 in 50 steps).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.representation.heads import Head
from ranking.representation.losses import user_item_softmax

Rows = npt.NDArray[np.int64]

DIM, HIDDEN = 128, 256  # as the alignment's heads (`AlignmentConfig`)
DROPOUT = 0.7  # of the contrast's inputs (`AlignmentConfig.contrast_dropout`)
TEMPERATURE, LOWEST, HIGHEST = 0.1, 0.01, 0.5  # as there
LIKES = 4  # of each live item a step, at random
ASKED = 10_000  # users, evenly spread, whom recall is measured on: 60 MB


@dataclass(frozen=True)
class Pairs:
    """What is learned from, n items.

    others: modality -> float32 [n, d], centred unit rows, 0 where an item has none. present: modality -> bool [n].
    liked: users x n, 1 where positive, of the training part alone.
    """

    others: Mapping[str, Tensor]
    present: Mapping[str, Tensor]
    liked: sparse.csr_matrix

    def to(self, device: torch.device) -> "Pairs":
        """Tensors on a device."""
        return Pairs(
            {name: one.to(device) for name, one in self.others.items()},
            {name: one.to(device) for name, one in self.present.items()},
            self.liked,
        )


class Objective(nn.Module):
    """A head for the tuned modality and one for each other, which are trained along and not kept."""

    def __init__(self, width: int, others: Mapping[str, int], *, contrast: float) -> None:
        super().__init__()
        self.head = Head(width, DIM, HIDDEN)
        self.others = nn.ModuleDict({name: Head(one, DIM, HIDDEN) for name, one in others.items()})
        self.log_temperatures = nn.Parameter(torch.full((2,), TEMPERATURE).log())
        self.contrast = contrast

    def forward(self, vectors: Tensor, pairs: Pairs, live: Rows, sampled: Rows, rng: np.random.Generator) -> Tensor:
        """Loss of the live items.

        vectors: float32 [len(sampled), width], centred unit rows of the tuned modality. live: ascending items that are
        asked about. sampled: ascending items that histories are made of, the live ones too.
        """
        asked = torch.from_numpy(np.searchsorted(sampled, live)).to(vectors.device)
        temperatures = self.log_temperatures.exp().clamp(LOWEST, HIGHEST)
        loss = self.contrast * self._contrast(vectors[asked], pairs, live, temperatures[0])
        users, targets = likes_of(pairs.liked, live, rng)
        if not len(users):
            return loss
        likes = torch.from_numpy(pairs.liked[users][:, sampled].toarray()).to(vectors.device)  # [b, sampled]
        target = torch.from_numpy(np.searchsorted(live, targets)).to(vectors.device)
        likes[torch.arange(len(target), device=likes.device), asked[target]] = 0  # what else the user likes
        known = self.head(vectors)
        history = F.normalize(likes @ known, dim=1)
        scores = history @ known[asked].T / temperatures[1]
        return loss + user_item_softmax(scores, target, likes[:, asked] > 0)

    def _contrast(self, vectors: Tensor, pairs: Pairs, live: Rows, temperature: Tensor) -> Tensor:
        """Both ways among the live items that have both modalities, the mean over the other modalities."""
        own = self.head(F.dropout(vectors, DROPOUT, self.training))
        items = torch.from_numpy(live).to(vectors.device)
        terms = []
        for name, head in self.others.items():
            there = pairs.present[name][items]
            if there.sum() > 1:
                other = head(F.dropout(pairs.others[name][items[there]], DROPOUT, self.training))
                similarity = own[there] @ other.T / temperature
                same = torch.arange(len(other), device=other.device)
                terms.append((F.cross_entropy(similarity, same) + F.cross_entropy(similarity.T, same)) / 2)
        return torch.stack(terms).mean() if terms else vectors.new_zeros(())

    @torch.no_grad()
    def recall(self, vectors: Tensor, pairs: Pairs, k: int = 10) -> dict[str, float]:
        """Share of items whose other modality is among the k nearest, and the other way round, each way's mean.

        vectors: float32 [n, width] of the items of `pairs`, all of which the objective has not seen.
        """
        found = {}
        for name, head in self.others.items():
            there = pairs.present[name]
            if there.any():
                one, other = self.head(vectors[there]), head(pairs.others[name][there])
                found[name] = (recall(one, other, k) + recall(other, one, k)) / 2
        return found

    @torch.no_grad()
    def recall_of_likes(
        self, vectors: Tensor, liked: sparse.csr_matrix, bank: Tensor, past: sparse.csr_matrix, k: int = 10
    ) -> float | None:
        """Share of likes of unseen items that are among the k nearest to what else their user likes; None without any.

        vectors: float32 [n, width] of the unseen items. liked: users x n. bank: float32 [m, width] of the items that
        were learned from. past: users x m. Further likes of the same user do not count against one.
        """
        users = np.flatnonzero((np.diff(liked.indptr) > 0) & (np.diff(past.indptr) > 0))
        if not len(users):
            return None
        users = users[np.linspace(0, len(users) - 1, min(len(users), ASKED)).astype(int)]
        wanted = torch.from_numpy(liked[users].toarray() > 0).to(vectors.device)  # [u, n]
        history = torch.from_numpy(past[users] @ self.head(bank).cpu().numpy()).to(vectors.device)  # few of past are 1
        scores = F.normalize(history, dim=1) @ self.head(vectors).T
        others = scores.masked_fill(wanted, -torch.inf)
        reach = others.topk(min(k, others.shape[1]), dim=1).values[:, -1:]  # the k-th best that is not liked
        return float((scores[wanted] > reach.expand_as(scores)[wanted]).float().mean())


def recall(asked: Tensor, offered: Tensor, k: int) -> float:
    """Share of rows [n, d] whose own row is among the k most similar of the offered ones; ties count against it."""
    similarity = asked @ offered.T
    own = similarity.diagonal()[:, None]
    ahead = (similarity >= own).sum(1) - 1
    return float((ahead < k).float().mean())


def likes_of(liked: sparse.csr_matrix, live: Rows, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Up to `LIKES` users who like each live item and something else, and that item for each of them."""
    busy = np.diff(liked.indptr) > 1
    by_item = liked[:, live].tocsc()
    users, targets = [], []
    for place, item in enumerate(live):
        those = by_item.indices[by_item.indptr[place] : by_item.indptr[place + 1]]
        those = those[busy[those]]
        chosen = rng.choice(those, min(LIKES, len(those)), replace=False)
        users.append(chosen)
        targets.append(np.full(len(chosen), item))
    return np.concatenate(users).astype(np.int64), np.concatenate(targets).astype(np.int64)
