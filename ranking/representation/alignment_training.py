"""How the alignment network learns: which item does a user like, given what else the user likes?"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.representation.heads import AlignmentNetwork
from ranking.representation.inputs import Masked
from ranking.representation.losses import info_nce, user_item_softmax
from ranking.types import Bools

if TYPE_CHECKING:
    from ranking.representation.alignment import AlignmentConfig

Progress: TypeAlias = Callable[[int, int], None]  # steps done, steps to do


class Trainer:
    """Trains a network on the positives of warm items.

    inputs: head -> one row a warm item. liked: users x warm items, 1 where positive.
    never_negative: bool [warm items], those that count only where they are the target or in the history: nobody has
    disregarded what nobody has met.
    """

    def __init__(
        self,
        network: AlignmentNetwork,
        inputs: Mapping[str, Masked],
        liked: sparse.csr_matrix,
        config: "AlignmentConfig",
        rng: np.random.Generator,
        *,
        never_negative: Bools | None = None,
    ) -> None:
        self.network = network
        self.config = config
        self.rng = rng
        self.liked = liked
        self.values = {name: torch.from_numpy(one.values) for name, one in inputs.items()}
        self.present = {name: torch.from_numpy(one.present) for name, one in inputs.items()}
        self.never_negative = torch.zeros(liked.shape[1], dtype=torch.bool)
        if never_negative is not None:
            self.never_negative = torch.from_numpy(never_negative)
        self.log_temperature = torch.nn.Parameter(torch.tensor(config.temperature).log())

    def run(self, progress: Progress) -> None:
        """All steps of the configuration; users with a single positive say nothing and are left out.

        Without a pair to learn from, or any content, nothing happens.
        """
        per_user = np.diff(self.liked.indptr)
        users = np.repeat(np.arange(len(per_user)), per_user)
        pairs = np.flatnonzero(per_user[users] > 1)
        if not len(pairs) or not self.values:
            return
        optimizer, schedule = self._optimizer()
        for step in range(self.config.steps):
            batch = pairs[self.rng.integers(len(pairs), size=self.config.batch)]
            loss = self.loss(users[batch], self.liked.indices[batch], contrast=step % self.config.contrast_every == 0)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_([*self.network.parameters(), self.log_temperature], self.config.clip_norm)
            optimizer.step()
            schedule.step()
            progress(step + 1, self.config.steps)

    def loss(self, users: npt.NDArray[np.int64], targets: npt.NDArray[np.int32], *, contrast: bool = True) -> Tensor:
        """User-item softmax over (a sample of) the warm items, plus a little of the contrast between modalities."""
        low, high = self.config.temperature_range
        temperature = self.log_temperature.exp().clamp(low, high)
        items = self._sample(targets)
        target = torch.from_numpy(np.searchsorted(items, targets))
        others = torch.from_numpy(self.liked[users][:, items].toarray())  # [b, n]
        others[torch.arange(len(target)), target] = 0  # what else the user likes
        values = {name: x[items] for name, x in self.values.items()}

        projected = self.network.project(values)
        history = F.normalize(others @ self.network.fuse(projected, self._kept(items)), dim=1)
        kept = self._kept(items)
        offered = self.network.fuse(projected, kept)
        scores = history @ offered.T / temperature + self.network.bias(values, kept)
        left_out = (others > 0) | self.never_negative[items]
        left_out[torch.arange(len(target)), target] = False
        loss = user_item_softmax(scores, target, left_out)
        if not contrast:
            return loss
        weight = self.config.contrast * self.config.contrast_every
        return loss + weight * self._contrast(np.unique(targets), temperature)

    def _sample(self, targets: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """The targets and as many further items as the configuration allows, ascending."""
        n = self.liked.shape[1]
        if n <= self.config.items:
            return np.arange(n)
        chosen = np.zeros(n, bool)
        chosen[self.rng.choice(n, self.config.items, replace=False)] = True
        chosen[targets] = True
        return np.flatnonzero(chosen)

    def _contrast(self, items: npt.NDArray[np.int32], temperature: Tensor) -> Tensor:
        """Mean symmetric InfoNCE of each pair of heads over the items that have both, with input dropout."""
        dropped = {name: F.dropout(x[items], self.config.contrast_dropout) for name, x in self.values.items()}
        projected = self.network.project(dropped)
        terms = []
        for left, right in combinations(projected, 2):
            both = self.present[left][items] & self.present[right][items]
            if both.sum() > 1:
                terms.append(info_nce(projected[left][both], projected[right][both], temperature))
        return torch.stack(terms).mean() if terms else torch.zeros(())

    def _kept(self, items: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Each present modality of each item, dropped with the configured chance."""
        return {
            name: present[items] & torch.from_numpy(self.rng.random(len(items)) >= self.config.modality_dropout)
            for name, present in self.present.items()
        }

    def _optimizer(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        rate = self.config.learning_rate
        gates = list(self.network.log_gates.parameters())
        others = [*self.network.heads.parameters(), *self.network.popularity.parameters(), self.log_temperature]
        groups = [{"params": others, "lr": rate}, {"params": gates, "lr": 10 * rate}]
        optimizer = torch.optim.AdamW(groups, weight_decay=self.config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [rate, 10 * rate], total_steps=self.config.steps + 1, pct_start=self.config.warm_up
        )
        return optimizer, schedule
