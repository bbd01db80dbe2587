"""How the alignment network learns: which item does a user like, given what else the user likes?"""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.representation import losses
from ranking.representation.alignment_config import AlignmentConfig, Loss, Optimizer, PairLoss
from ranking.representation.behaviour import HEAD, audience_cosines
from ranking.representation.heads import AlignmentNetwork
from ranking.representation.inputs import Masked
from ranking.types import Bools

Progress: TypeAlias = Callable[[int, int], None]  # steps done, steps to do
Items: TypeAlias = npt.NDArray[np.integer]

SIGMOID_BIAS: Final = -10.0  # where that of the sigmoid loss starts (Zhai et al. 2023)
MOMENTUM: Final = 0.9  # of SGD


class Trainer:
    """Trains a network on the positives of items.

    inputs: head -> one row an item, in one or several views of the same items, of which each is drawn as often.
    liked: users x items, 1 where positive. never_negative: bool [items], those that count only where they are the
    target or in the history: nobody has disregarded what nobody has met.
    """

    def __init__(
        self,
        network: AlignmentNetwork,
        inputs: Mapping[str, Sequence[Masked]],
        liked: sparse.csr_matrix,
        config: AlignmentConfig,
        rng: np.random.Generator,
        *,
        never_negative: Bools | None = None,
    ) -> None:
        self.network = network
        self.config = config
        self.rng = rng
        self.liked = liked
        self.never_negative = torch.zeros(liked.shape[1], dtype=torch.bool)
        if never_negative is not None:
            self.never_negative = torch.from_numpy(never_negative)
        self.likers = liked.tocsc()
        self.views = {name: [torch.from_numpy(one.values) for one in views] for name, views in inputs.items()}
        self.present = {name: torch.from_numpy(views[0].present) for name, views in inputs.items()}
        self.log_temperature = torch.nn.Parameter(torch.tensor(config.temperature).log())
        self.sigmoid_bias = torch.nn.Parameter(torch.tensor(SIGMOID_BIAS))

    def run(self, progress: Progress) -> None:
        """All steps of the configuration; users with a single positive say nothing and are left out.

        Without a pair to learn from, or any content, nothing happens.
        """
        per_user = np.diff(self.liked.indptr)
        users = np.repeat(np.arange(len(per_user)), per_user)
        pairs = np.flatnonzero(per_user[users] > 1)
        by_likes = self.config.user_items > 0
        if not self.views or (by_likes and not len(pairs)):
            return
        optimizer, schedule = self._optimizer()
        for step in range(self.config.steps):
            if by_likes:
                some = pairs[self.rng.integers(len(pairs), size=self.config.batch)]
                loss = self.loss(users[some], self.liked.indices[some], contrast=step % self.config.contrast_every == 0)
            else:
                loss = self._contrast(self._some_items(), self._temperature())
            if not loss.requires_grad:
                continue  # no two modalities to contrast
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(self._parameters(), self.config.clip_norm)
            optimizer.step()
            schedule.step()
            progress(step + 1, self.config.steps)

    def loss(self, users: Items, targets: Items, *, contrast: bool = True) -> Tensor:
        """What a user likes, given the rest, among a sample of the items; and a little contrast between modalities."""
        temperature = self._temperature()
        loss = self.config.user_items * self._user_items(users, targets, temperature)
        if not contrast or not self.config.contrast:
            return loss
        weight = self.config.contrast * self.config.contrast_every
        return loss + weight * self._contrast(np.unique(targets), temperature)

    def _user_items(self, users: Items, targets: Items, temperature: Tensor) -> Tensor:
        """The configured loss between histories, of all modalities, and items, of all but behaviour."""
        items = self._sample(targets)
        target = torch.from_numpy(np.searchsorted(items, targets))
        others = torch.from_numpy(self.liked[users][:, items].toarray())  # [b, n]
        others[torch.arange(len(target)), target] = 0  # what else the user likes
        values = self._values(items)
        projected = self.network.project(values)
        history = F.normalize(others @ self.network.fuse(projected, self._kept(items)), dim=1)
        kept = self._kept(items)
        offered = self.network.fuse({name: z for name, z in projected.items() if name != HEAD}, kept)
        if self.config.loss not in (Loss.SOFTMAX, Loss.BPR):
            among = torch.from_numpy(self.liked[users][:, targets].toarray() > 0)  # [b, b]
            return self._of_pairs(PairLoss(self.config.loss.value), history, offered[target], temperature, among)
        bias = self.network.bias({name: x for name, x in values.items() if name != HEAD}, kept)
        scores = history @ offered.T / temperature + bias
        of_scores = losses.user_item_softmax if self.config.loss is Loss.SOFTMAX else losses.bpr
        left_out = (others > 0) | self.never_negative[items]
        left_out[torch.arange(len(target)), target] = False
        return of_scores(scores, target, left_out)

    def _contrast(self, items: Items, temperature: Tensor) -> Tensor:
        """Mean loss of each pair of heads over the items that have both, with input dropout.

        A single head is contrasted with itself, under another dropout (SimCSE, Gao et al. 2021).
        """
        values = self._values(items)
        dropped = {name: F.dropout(x, self.config.contrast_dropout) for name, x in values.items()}
        projected = self.network.project(dropped)
        alike = torch.from_numpy(audience_cosines(self.likers[:, items]) >= self.config.co_consumed)
        if len(projected) == 1:
            (name,) = projected
            again = self.network.project({name: F.dropout(values[name], self.config.contrast_dropout)})[name]
            sides = [(projected[name], again, self.present[name][items])]
        else:
            sides = [
                (projected[one], projected[other], self.present[one][items] & self.present[other][items])
                for one, other in combinations(projected, 2)
            ]
        terms = [
            self._of_pairs(self.config.contrast_loss, left[both], right[both], temperature, alike[both][:, both])
            for left, right, both in sides
            if both.sum() > 1
        ]
        return torch.stack(terms).mean() if terms else torch.zeros(())

    def _of_pairs(self, loss: PairLoss, left: Tensor, right: Tensor, temperature: Tensor, excluded: Tensor) -> Tensor:
        match loss:
            case PairLoss.INFO_NCE:
                return losses.info_nce(left, right, temperature, excluded)
            case PairLoss.SIGMOID:
                return losses.sigmoid(left, right, temperature, self.sigmoid_bias, excluded)
            case PairLoss.TRIPLET:
                return losses.triplet(left, right, excluded)
            case PairLoss.ALIGNMENT_UNIFORMITY:
                return losses.alignment_uniformity(left, right)

    def _sample(self, targets: Items) -> Items:
        """The targets and as many further items as the configuration allows, ascending."""
        n = self.liked.shape[1]
        if n <= self.config.items:
            return np.arange(n)
        chosen = np.zeros(n, bool)
        chosen[self.rng.choice(n, self.config.items, replace=False)] = True
        chosen[targets] = True
        return np.flatnonzero(chosen)

    def _some_items(self) -> Items:
        n = self.liked.shape[1]
        return self.rng.choice(n, min(n, self.config.batch), replace=False)

    def _values(self, items: Items) -> dict[str, Tensor]:
        """Each head's inputs of the items, of one of its views each."""
        values = {}
        for name, views in self.views.items():
            values[name] = views[0][items]
            if len(views) > 1:
                drawn = torch.from_numpy(self.rng.integers(len(views), size=len(items)))
                for number, view in enumerate(views[1:], start=1):
                    values[name][drawn == number] = view[items][drawn == number]
        return values

    def _kept(self, items: Items) -> dict[str, Tensor]:
        """Each present modality of each item, dropped with the configured chance."""
        return {
            name: present[items] & torch.from_numpy(self.rng.random(len(items)) >= self.config.modality_dropout)
            for name, present in self.present.items()
        }

    def _temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(*self.config.temperature_range)

    def _parameters(self) -> list[torch.nn.Parameter]:
        return [*self.network.parameters(), self.log_temperature, self.sigmoid_bias]

    def _optimizer(self) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        rate, decay = self.config.learning_rate, self.config.weight_decay
        gates = list(self.network.log_gates.parameters())
        scalars = [self.log_temperature, self.sigmoid_bias]
        others = [*self.network.heads.parameters(), *self.network.popularity.parameters(), *scalars]
        groups = [{"params": others, "lr": rate}, {"params": gates, "lr": 10 * rate}]
        optimizer: torch.optim.Optimizer
        match self.config.optimizer:
            case Optimizer.ADAM:
                optimizer = torch.optim.Adam(groups, weight_decay=decay)
            case Optimizer.ADAMW:
                optimizer = torch.optim.AdamW(groups, weight_decay=decay)
            case Optimizer.SGD:
                optimizer = torch.optim.SGD(groups, momentum=MOMENTUM, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [rate, 10 * rate], total_steps=self.config.steps + 1, pct_start=self.config.warm_up
        )
        return optimizer, schedule
