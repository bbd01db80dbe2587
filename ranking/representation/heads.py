"""The alignment network: one head and one learned gate a modality, all leading into one space."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

Tensors = Mapping[str, Tensor]  # head -> one tensor


class Head(nn.Module):
    """A linear map with a residual MLP that is silent at first: z = W x + V gelu(U x), at unit length.

    hidden: width of the MLP; 0 leaves it out, so that W is the whole head, an alignment matrix.
    """

    def __init__(self, width: int, dim: int, hidden: int) -> None:
        super().__init__()
        self.scale = width**0.5  # unit rows in, coordinates of unit variance on the inside
        self.linear = nn.Linear(width, dim, bias=False)
        self.hidden = nn.Linear(width, hidden, bias=False) if hidden else None
        self.residual = nn.Linear(hidden, dim, bias=False) if hidden else None
        if self.residual is not None:
            nn.init.zeros_(self.residual.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[n, width] -> [n, dim], unit rows; a row of zeros stays one."""
        x = x * self.scale
        z = self.linear(x)
        if self.hidden is not None and self.residual is not None:
            z = z + self.residual(F.gelu(self.hidden(x)))
        return F.normalize(z, dim=1)


class AlignmentNetwork(nn.Module):
    """Heads, gates and linear guesses at popularity; widths: head -> length of its input."""

    def __init__(self, widths: Mapping[str, int], *, dim: int, hidden: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: Head(width, dim, hidden) for name, width in widths.items()})
        self.log_gates = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in widths})
        self.popularity = nn.ModuleDict({name: nn.Linear(width, 1, bias=False) for name, width in widths.items()})
        for weight in self.popularity.parameters():
            nn.init.zeros_(weight)

    def project(self, inputs: Tensors) -> dict[str, Tensor]:
        """Each head's vectors, [n, dim]."""
        return {name: self.heads[name](x) for name, x in inputs.items()}

    def fuse(self, projected: Tensors, kept: Tensors) -> Tensor:
        """The gated sum of the heads that `kept` (bool [n]) leaves to each item: [n, dim], unit rows, 0 without any."""
        gated = [z * (self.log_gates[name].exp() * kept[name])[:, None] for name, z in projected.items()]
        return F.normalize(torch.stack(gated).sum(0), dim=1)

    def bias(self, inputs: Tensors, kept: Tensors) -> Tensor:
        """Popularity as the kept heads guess it, in units of the softmax's logits: [n]."""
        guesses = [
            linear(inputs[name])[:, 0] * kept[name] for name, linear in self.popularity.items() if name in inputs
        ]
        return torch.stack(guesses).sum(0)
