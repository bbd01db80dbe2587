"""The moving parts of a tuning: network, heads, optimizer and the vectors of all items as they were encoded last."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.errors import TuningError, UnreadableContentError
from ranking.representation.adapters import Adapter, adapter_state, attach, load_adapter_state
from ranking.representation.encoder import Decoded, NetworkEncoder
from ranking.representation.sources import Content
from ranking.representation.torch_run import has_bfloat16
from ranking.representation.tuning_checkpoint import (
    Checkpoint,
    named,
    optimizer_arrays,
    restore_module,
    restore_optimizer,
)
from ranking.representation.tuning_config import TuningConfig
from ranking.representation.tuning_objective import Objective, Pairs, Rows

AT_ONCE: Final = 16  # contents of like length a call of the network
LIKES: Final = "likes"  # behaviour's name among the modalities that recall is measured for
SAMPLED: Final = 2048  # items that histories are made of
PROBED: Final = 256  # items a step of the heads alone
ORTHOGONALITY: Final = 0.5  # AdaLoRA's regularisation (peft's `orth_reg_weight`)


@dataclass(frozen=True)
class Items:
    """Items that have the tuned modality: their content and pairs; vectors: float32 [n, dim], as they are before."""

    contents: Sequence[Content]
    vectors: Tensor
    pairs: Pairs


class Run(Generic[Decoded]):
    """A tuning under way. train: what is learned from. held_out: other items, which recall is measured on."""

    def __init__(
        self,
        encoder: NetworkEncoder[Decoded],
        adapter: Adapter,
        network: nn.Module,
        train: Items,
        held_out: Items,
        config: TuningConfig,
    ) -> None:
        self.encoder, self.config, self.device = encoder, config, torch.device(encoder.device)
        self.mean = train.vectors.mean(0).to(self.device)
        self.train, self.held_out = train, held_out
        self.pairs, self.asked = train.pairs.to(self.device), held_out.pairs.to(self.device)
        self.bank = self._centred(train.vectors.to(self.device))
        likes = np.diff(train.pairs.liked.tocsc().indptr)
        self.chance = np.sqrt(1 + likes) / np.sqrt(1 + likes).sum()  # of being live: popular items a little more often
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            tuner: Any = attach(network, adapter, dropout=config.dropout, steps=config.steps)
            self.ranks = tuner if hasattr(tuner, "rankallocator") else None  # AdaLoRA alone chooses ranks
            widths = {name: one.shape[1] for name, one in train.pairs.others.items()}
            self.objective = Objective(encoder.dim, widths, contrast=config.contrast).to(self.device)
        self.network = network.to(self.device)
        self.own = [one for one in network.parameters() if one.requires_grad]
        groups = [
            {"params": self.own, "lr": config.learning_rate},
            {"params": list(self.objective.parameters()), "lr": config.head_rate},
        ]
        self.rates = [config.learning_rate, config.head_rate]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
        self.mixed = has_bfloat16(self.device.type)

    def probe(self, progress: Callable[[int, int], None]) -> None:
        """Let the heads learn on the vectors as they are."""
        steps = self.config.probe_steps
        optimizer = torch.optim.AdamW(self.objective.parameters(), lr=2e-3, weight_decay=0.1)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps + 1, pct_start=0.1)
        self.objective.train()
        for step in range(steps):
            rng = self._seeded(0, step)
            live = self._live(rng, PROBED)
            sampled = self._sampled(live, rng)
            loss = self.objective(self.bank[sampled], self.pairs, live, sampled, rng)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            progress(step + 1, steps)

    def step(self, number: int) -> float:
        """One step of heads and adapter; gives the loss."""
        rng = self._seeded(1, number)
        for name, part in self.network.named_modules():
            # the network's own dropout stays off: once vectors are centred, its noise outweighs what tells items apart
            part.train("lora_dropout" in name)
        self.objective.train()
        rows, vectors = self._encode(self.train.contents, self._live(rng, self.config.batch))
        sampled = self._sampled(rows, rng)
        places = torch.from_numpy(np.searchsorted(sampled, rows)).to(self.device)
        centred = self._centred(vectors)
        table = self.bank[sampled].index_copy(0, places, centred)
        loss: Tensor = self.objective(table, self.pairs, rows, sampled, rng)
        whole = loss + ORTHOGONALITY * self._skewness() if self.ranks is not None else loss
        self.optimizer.zero_grad()
        torch.autograd.backward(whole)
        torch.nn.utils.clip_grad_norm_([*self.own, *self.objective.parameters()], 5.0)
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * self._share_of_rate(number)
        self.optimizer.step()
        if self.ranks is not None:
            self.ranks.update_and_allocate(number + 1)
        self.bank[torch.from_numpy(rows).to(self.device)] = centred.detach()
        return float(loss.detach())

    def recall(self) -> dict[str, float]:
        """Recall@10 among the held-out items, encoded anew: modality -> mean of both ways, `LIKES` -> from users."""
        self.network.eval()
        self.objective.eval()
        rows = np.arange(len(self.held_out.contents))
        found = self._centred(self.held_out.vectors.to(self.device))
        with torch.no_grad():
            read, vectors = self._encode(self.held_out.contents, rows)
            found[torch.from_numpy(read).to(self.device)] = self._centred(vectors)
        recalls = self.objective.recall(found, self.asked)
        likes = self.objective.recall_of_likes(found, self.asked.liked, self.bank, self.pairs.liked)
        return recalls if likes is None else recalls | {LIKES: likes}

    def adapter(self) -> dict[str, Tensor]:
        """A copy of the adapter's weights on the CPU."""
        return {name: one.cpu().clone() for name, one in adapter_state(self.network).items()}

    def arrays(self) -> dict[str, Tensor]:
        """All that changes, for a checkpoint."""
        arrays = named("adapter", adapter_state(self.network)) | named("heads", self.objective.state_dict())
        arrays |= named("optimizer", optimizer_arrays(self.optimizer)) | {"bank": self.bank}
        for what, gathered in self._gathered().items():
            arrays |= named(f"ranks.{what}", gathered)
        return arrays

    def restore(self, checkpoint: Checkpoint, source: Path) -> None:
        """Stand where `arrays` was taken; raises `TuningError` if they are not those of this run."""
        try:
            load_adapter_state(self.network, checkpoint.under("adapter"), source)
            restore_module(self.objective, checkpoint.under("heads"))
            restore_optimizer(self.optimizer, checkpoint.under("optimizer"))
            self.bank.copy_(checkpoint.arrays["bank"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise TuningError(f"{source}: not of this tuning ({error}); delete it to start anew") from error
        for what, gathered in self._gathered().items():
            gathered.update({name: one.to(self.device) for name, one in checkpoint.under(f"ranks.{what}").items()})

    def _encode(self, contents: Sequence[Content], rows: Rows) -> tuple[Rows, Tensor]:
        """Vectors of the contents that can be read, with their rows in ascending order."""
        read: list[int] = []
        decoded = []
        for row in np.sort(rows).tolist():
            try:
                decoded.append(self.encoder.decode(contents[row].load()))
                read.append(row)
            except UnreadableContentError:  # it was readable when its vector was made, which stays
                continue
        if not decoded:
            raise TuningError(
                f"none of {len(rows)} {self.encoder.modality} contents can be read any more; run `trichord run` first"
            )
        return np.array(read), encoded(self.encoder, self.network, decoded, mixed=self.mixed)

    def _centred(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors - self.mean, dim=1)

    def _live(self, rng: np.random.Generator, count: int) -> Rows:
        n = len(self.chance)
        return np.sort(rng.choice(n, min(count, n), replace=False, p=self.chance))

    def _sampled(self, live: Rows, rng: np.random.Generator) -> Rows:
        n = len(self.chance)
        return np.union1d(live, rng.choice(n, min(SAMPLED, n), replace=False))

    def _seeded(self, phase: int, number: int) -> np.random.Generator:
        """All chance of a step hangs on its number alone."""
        torch.manual_seed(np.random.SeedSequence([self.config.seed, phase, number]).generate_state(1)[0].item())
        return np.random.default_rng([self.config.seed, phase, number])

    def _share_of_rate(self, number: int) -> float:
        """Up over a tenth of the steps, then down to 0 in a straight line."""
        up = max(self.config.steps // 10, 1)
        return min((number + 1) / up, (self.config.steps - number) / max(self.config.steps - up, 1))

    def _gathered(self) -> dict[str, dict[str, Tensor]]:
        """What AdaLoRA's choice of ranks goes by."""
        if self.ranks is None:
            return {}
        return {one: getattr(self.ranks.rankallocator, one) for one in ("ipt", "exp_avg_ipt", "exp_avg_unc")}

    def _skewness(self) -> Tensor:
        """How far AdaLoRA's singular vectors are from being orthogonal (Zhang et al. 2023, eq. 4)."""
        terms = []
        for name, one in self.network.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                gram = one @ one.T if "lora_A" in name else one.T @ one
                terms.append(torch.linalg.norm(gram - torch.eye(len(gram), device=gram.device)))
        return torch.stack(terms).mean()


def encoded(
    encoder: NetworkEncoder[Decoded], network: nn.Module, batch: Sequence[Decoded], *, mixed: bool = False
) -> Tensor:
    """Vectors float32 [len(batch), dim] as `encoder.encode` gives them, by a network that may learn from them.

    network: the encoder's, on its device. mixed: it computes in bfloat16 where that does no harm.
    """
    sums = torch.zeros(len(batch), encoder.dim, device=encoder.device)
    weight, parts = sums.new_zeros(len(batch), 1), sums.new_zeros(len(batch), 1)
    for rows, arrays in encoder.batches(batch, AT_ONCE):
        tensors = {name: torch.from_numpy(one).to(encoder.device) for name, one in arrays.items()}
        with torch.autocast(encoder.device, torch.bfloat16, enabled=mixed):
            vectors = network(**tensors).float()
        items = torch.from_numpy(rows).to(encoder.device)
        weights = torch.from_numpy(encoder.weights(arrays)).to(encoder.device)
        sums = sums.index_add(0, items, vectors * weights)
        weight.index_add_(0, items, weights)
        parts.index_add_(0, items, torch.ones_like(weights))
    means = sums / weight
    return torch.where(parts > 1, F.normalize(means, dim=1), means)  # of one part it is what the network gives
