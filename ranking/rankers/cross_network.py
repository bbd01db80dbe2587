"""The network of the neural ranker, read top-down: embeddings, crosses beside layers, one logit a task.

Source: Wang et al., DCN V2 (2021): equation 1 (cross layer), section 3.3 (parallel structure) and 3.5 (low rank).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Cross(nn.Module):
    """x_(l+1) = x_0 * (U V x_l + b) + x_l: every layer multiplies the inputs once more (DCN V2, equations 1 and 2)."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)  # V
        self.up = nn.Linear(rank, width)  # U, b
        nn.init.zeros_(self.up.weight)  # at first the layer passes on what comes in
        nn.init.zeros_(self.up.bias)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        """first, x: [n, width] -> [n, width]."""
        crossed: Tensor = first * self.up(self.down(x)) + x
        return crossed


class CrossNetwork(nn.Module):
    """Crosses and layers side by side over numbers and embedded codes.

    numbers: how many come in. sizes: of each column of codes, how many codes there are, 0 the unknown. tasks: logits
    that come out; they start at `rates`, whatever comes in, so that learning begins at the base rate.
    """

    def __init__(
        self,
        numbers: int,
        sizes: Sequence[int],
        *,
        embedding: int,
        crosses: int,
        rank: int,
        hidden: Sequence[int],
        dropout: float,
        rates: Tensor,
    ) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList([nn.Embedding(size, embedding) for size in sizes])
        for table in self.embeddings.parameters():
            nn.init.normal_(table, std=0.01)
        width = numbers + embedding * len(sizes)
        self.dropout = nn.Dropout(dropout)
        self.crosses = nn.ModuleList([Cross(width, rank) for _ in range(crosses)])
        widths = [width, *hidden]
        self.layers = nn.ModuleList([nn.Linear(*pair) for pair in zip(widths, hidden, strict=False)])
        self.head = nn.Linear(width + widths[-1], len(rates))
        nn.init.zeros_(self.head.weight)
        self.head.bias.data.copy_(rates)

    def forward(self, numbers: Tensor, codes: Tensor) -> Tensor:
        """numbers: [n, numbers]. codes: int64 [n, len(sizes)] -> logits [n, tasks]."""
        return self.combine(numbers, self.embed(codes))

    def embed(self, codes: Tensor) -> Tensor:
        """Int64 [n, len(sizes)] -> [n, len(sizes) * embedding]."""
        if not len(self.embeddings):
            return torch.zeros(len(codes), 0)
        return torch.cat([table(codes[:, column]) for column, table in enumerate(self.embeddings)], dim=1)

    def combine(self, numbers: Tensor, embedded: Tensor) -> Tensor:
        """Logits [n, tasks] of numbers and of what their codes are embedded as."""
        first = torch.cat([numbers, embedded], dim=1)  # [n, width]
        crossed = deep = first
        for cross in self.crosses:
            crossed = cross(first, crossed)
        for layer in self.layers:
            deep = self.dropout(torch.relu(layer(deep)))
        logits: Tensor = self.head(torch.cat([crossed, deep], dim=1))
        return logits
