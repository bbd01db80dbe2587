"""The SASRec network: a small causal transformer that predicts the next item at every place of a sequence.

Token 0 is padding, item i is token i + 1. Sequences are padded in front, so that the last place is always the latest.
"""

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.candidates.sasrec_config import SasrecConfig

Tokens = npt.NDArray[np.int64]


class Block(nn.Module):
    """Pre-norm attention over earlier places, then a position-wise network."""

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_1, self.norm_2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.qkv = nn.Linear(config.dim, 3 * config.dim)
        self.projection = nn.Linear(config.dim, config.dim)
        self.network = nn.Sequential(
            nn.Linear(config.dim, config.dim), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(config.dim, config.dim)
        )
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """States [b, l, d] given which places see which, bool [b, 1, l, l]."""
        b, length, d = x.shape
        q, k, v = (
            part.view(b, length, self.heads, d // self.heads).transpose(1, 2)  # [b, heads, l, d / heads]
            for part in self.qkv(self.norm_1(x)).split(d, dim=2)
        )
        scores = (q @ k.transpose(2, 3) / math.sqrt(d // self.heads)).masked_fill(~mask, -torch.inf)
        seen = F.dropout(scores.softmax(dim=3), self.dropout, self.training) @ v
        x = x + self.drop(self.projection(seen.transpose(1, 2).reshape(b, length, d)))
        added: Tensor = x + self.drop(self.network(self.norm_2(x)))
        return added


class SasrecNetwork(nn.Module):
    """Item and place embeddings, blocks, and the item embeddings again as the output layer."""

    def __init__(self, n_items: int, config: SasrecConfig) -> None:
        super().__init__()
        self.item = nn.Embedding(n_items + 1, config.dim, padding_idx=0)
        self.place = nn.Parameter(torch.zeros(config.length, config.dim))
        self.bias = nn.Parameter(torch.zeros(n_items))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.dim)
        self.drop = nn.Dropout(config.dropout)
        nn.init.normal_(self.item.weight, std=0.02)
        nn.init.zeros_(self.item.weight[0].detach())

    def forward(self, tokens: Tensor) -> Tensor:
        """States [b, l, d] of tokens [b, l]."""
        length = tokens.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        itself = torch.eye(length, dtype=torch.bool)  # padding sees itself: a softmax over nothing would be NaN
        mask = (causal & (tokens > 0)[:, None, :] | itself)[:, None]  # [b, 1, l, l]
        x = self.drop(self.item(tokens) * self.item.embedding_dim**0.5 + self.place[-length:])
        for block in self.blocks:
            x = block(x, mask)
        states: Tensor = self.norm(x)
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Logits [..., n_items] of states [..., d]."""
        return states @ self.item.weight[1:].T + self.bias


def learn(network: SasrecNetwork, sequences: Tokens, offered: npt.NDArray[np.bool_], config: SasrecConfig) -> None:
    """Cross-entropy over all items that are offered, at every place of the sequences [s, length + 1]."""
    rng = np.random.default_rng(config.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=0.01)
    never = torch.from_numpy(~offered)
    network.train()
    for _ in range(config.epochs if len(sequences) else 0):
        for some in torch.split(torch.from_numpy(rng.permutation(len(sequences))), config.batch):
            tokens = torch.from_numpy(sequences)[some]
            given, target = tokens[:, :-1], tokens[:, 1:]
            there = (given > 0) & (target > 0)
            logits = network.logits(network(given)[there]).masked_fill(never, -torch.inf)
            loss = F.cross_entropy(logits, target[there] - 1)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
    network.eval()


def trained(sequences: Tokens, offered: npt.NDArray[np.bool_], config: SasrecConfig) -> SasrecNetwork:
    """A network for items `offered`, bool [n_items], that learned from the sequences; a seed gives the same again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = SasrecNetwork(len(offered), config)
        learn(network, sequences, offered, config)
    return network


def restored(weights: dict[str, npt.NDArray[np.float32]], n_items: int, config: SasrecConfig) -> SasrecNetwork:
    """The network of these weights."""
    network = SasrecNetwork(n_items, config)
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return network.eval()


def next_items(network: SasrecNetwork, tokens: Tokens) -> npt.NDArray[np.float32]:
    """Logits float32 [b, n_items] of what follows the tokens [b, length]."""
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = network.logits(network(torch.from_numpy(tokens))[:, -1]).numpy()
    return logits
