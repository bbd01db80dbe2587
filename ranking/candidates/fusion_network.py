"""The neural fusion network: a user's and an item's embedding side by side, through a dense layer, to one logit."""

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.candidates.fusion_config import FusionConfig
from ranking.types import Codes, Floats

Positions = npt.NDArray[np.int64]


class FusionNetwork(nn.Module):
    """logit = v . relu(W [user, item] + b) + c."""

    def __init__(self, n_users: int, n_items: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.user = nn.Embedding(n_users, dim)
        self.item = nn.Embedding(n_items, dim)
        self.dense = nn.Linear(2 * dim, hidden)
        self.output = nn.Linear(hidden, 1)
        for embedding in (self.user, self.item):
            nn.init.normal_(embedding.weight, std=dim**-0.5)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        """Logits [b] of pairs [b] and [b]."""
        together = torch.cat([self.user(user), self.item(item)], dim=1)  # [b, 2 dim]
        logits: Tensor = self.output(F.relu(self.dense(together)))[:, 0]
        return logits


def train_network(x: sparse.csr_matrix, offered: Codes, config: FusionConfig) -> dict[str, Floats]:
    """Weights by name, learned from the pairs of X (users x items) and from unobserved ones, new ones each epoch.

    offered: the items that unobserved pairs are drawn from. Without any pair the weights stay as they start.
    """
    rng = np.random.default_rng(config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = FusionNetwork(x.shape[0], x.shape[1], config.dim, config.hidden)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    user, item = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices.astype(np.int64)
    for _ in range(config.epochs if x.nnz else 0):
        users, items, labels = _examples(user, item, offered, x.shape[1], config.negatives, rng)
        for some in torch.split(torch.from_numpy(rng.permutation(len(labels))), config.batch):
            loss = F.binary_cross_entropy_with_logits(network(users[some], items[some]), labels[some])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return {name: value.numpy() for name, value in network.state_dict().items()}


def _examples(
    user: Positions, item: Positions, offered: Codes, n_items: int, negatives: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Users, items and labels: the positive pairs, and for each so many items that its user has not met."""
    others = np.repeat(user, negatives)
    drawn = offered[rng.integers(len(offered), size=len(others))]
    unobserved = ~np.isin(others * n_items + drawn, user * n_items + item)
    users = np.concatenate([user, others[unobserved]])
    items = np.concatenate([item, drawn[unobserved]])
    labels = np.zeros(len(users), np.float32)
    labels[: len(user)] = 1
    return torch.from_numpy(users), torch.from_numpy(items), torch.from_numpy(labels)
