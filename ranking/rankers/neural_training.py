"""How the neural ranker learns: row by row, against the rest of the slate, and from stars where there are any."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812  the name that torch code is read with

from ranking.rankers.cross_network import CrossNetwork
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.neural_config import NeuralConfig
from ranking.rankers.neural_inputs import Scaling
from ranking.types import Bools, Floats

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Lessons:
    """Rows to learn from, slate after slate.

    numbers: float32 [n, d]. codes: int64 [n, c]. labels: float32 [n, t]. ratings: float32 [n], NaN where there is none.
    groups: rows of each slate.
    """

    numbers: Tensor
    codes: Tensor
    labels: Tensor
    ratings: Tensor
    groups: Indices

    @classmethod
    def of(
        cls,
        features: FeatureMatrix,
        labels: Bools,
        groups: Indices,
        ratings: Floats,
        scaling: Scaling,
        config: NeuralConfig,
    ) -> Self:
        """Of slates without a positive none, unless they are of one row; of the negatives a sample."""
        tasks = labels if labels.ndim > 1 else labels[:, None]
        slate = np.repeat(np.arange(len(groups)), groups)
        told: Bools = np.asarray(tasks.any(axis=1))
        hits = (np.bincount(slate, told, minlength=len(groups)) > 0) | (groups == 1)
        sampled = np.random.default_rng(config.seeds[0]).random(len(told)) < config.negatives
        chosen = hits[slate] & (told | sampled)
        numbers, codes = scaling.inputs(features, groups, config)
        mean, deviation = scaling.rating
        kept = np.bincount(slate[chosen], minlength=len(groups))
        return cls(
            torch.from_numpy(numbers[chosen]),
            torch.from_numpy(codes[chosen]),
            torch.from_numpy(tasks[chosen].astype(np.float32)),
            torch.from_numpy(((ratings[chosen] - mean) / deviation).astype(np.float32)),
            kept[kept > 0].astype(np.int64),
        )

    def divided(self, share: float, *, seed: int) -> tuple["Lessons", "Lessons"]:
        """Most slates, and a share of them, drawn by the seed."""
        order = np.random.default_rng(seed).permutation(len(self.groups))
        count = round(len(order) * share)
        return self.some(np.sort(order[count:])), self.some(np.sort(order[:count]))

    def some(self, slates: Indices) -> "Lessons":
        """Some of the slates."""
        rows = self.rows(slates)
        return Lessons(self.numbers[rows], self.codes[rows], self.labels[rows], self.ratings[rows], self.groups[slates])

    def rows(self, slates: Indices) -> Indices:
        """The rows of some slates, slate after slate."""
        sizes = self.groups[slates]
        starts = (np.cumsum(self.groups) - self.groups)[slates]
        return np.repeat(starts - (np.cumsum(sizes) - sizes), sizes) + np.arange(sizes.sum())


def new_network(scaling: Scaling, config: NeuralConfig, labels: Floats) -> CrossNetwork:
    """An untrained network that answers with the base rates of the labels, float32 [n, tasks]."""
    share = np.clip(labels.mean(axis=0) if len(labels) else np.full(labels.shape[1], 0.5), 1e-6, 1 - 1e-6)
    rates = np.append(np.log(share / (1 - share)), np.zeros(int(bool(config.ratings))))
    return CrossNetwork(
        scaling.width(config),
        scaling.sizes,
        embedding=config.embedding,
        crosses=config.crosses,
        rank=config.rank,
        hidden=config.hidden,
        dropout=config.dropout,
        rates=torch.from_numpy(rates.astype(np.float32)),
    ).eval()


def learn(network: CrossNetwork, lessons: Lessons, held_out: Lessons, config: NeuralConfig, seed: int) -> list[float]:
    """Train the network, which ends as it was when it foresaw the held-out slates best; their loss after each epoch.

    The first loss is that before learning. The rate is slowed after an epoch without progress; `patience` of these in a
    row end the lesson. Without a row to learn from, nothing happens.
    """
    optimizer = torch.optim.Adam(_parameters(network, config), lr=config.learning_rate)
    draw = np.random.default_rng(seed)
    history, failed = [_judged(network, held_out, config)], 0
    best = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(config.epochs if len(lessons.groups) else 0):
        network.train()
        for slates in _batches(lessons.groups, draw, config.batch_rows):
            loss = _loss(network, lessons, slates, config)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
        history.append(_judged(network, held_out, config))
        if history[-1] < min(history[:-1]):
            failed, best = 0, {name: value.clone() for name, value in network.state_dict().items()}
            continue
        failed += 1
        if failed >= config.patience:
            break
        for group in optimizer.param_groups:
            group["lr"] *= config.slowing
    network.load_state_dict(best)
    network.eval()
    return history


def _parameters(network: CrossNetwork, config: NeuralConfig) -> list[dict[str, object]]:
    embedded = list(network.embeddings.parameters())
    mine = {id(one) for one in embedded}
    return [
        {"params": [one for one in network.parameters() if id(one) not in mine], "weight_decay": config.l2},
        {"params": embedded, "weight_decay": config.embedding_l2},
    ]


def _batches(groups: Indices, draw: np.random.Generator, batch_rows: int) -> Iterator[Indices]:
    """All slates in a random order, about `batch_rows` rows at once."""
    order = draw.permutation(len(groups))
    batch = (np.cumsum(groups[order]) - 1) // batch_rows
    yield from np.split(order, np.flatnonzero(np.diff(batch)) + 1)


def _judged(network: CrossNetwork, held_out: Lessons, config: NeuralConfig) -> float:
    """Mean loss over the batches of the held-out slates; 0 without any."""
    network.eval()
    with torch.inference_mode():
        order = np.arange(len(held_out.groups))
        batch = (np.cumsum(held_out.groups) - 1) // config.batch_rows
        batches = np.split(order, np.flatnonzero(np.diff(batch)) + 1) if len(order) else []
        losses = [(float(_loss(network, held_out, one, config)), len(one)) for one in batches]
    return sum(loss * size for loss, size in losses) / max(len(held_out.groups), 1)


def _loss(network: CrossNetwork, lessons: Lessons, slates: Indices, config: NeuralConfig) -> Tensor:
    rows = lessons.rows(slates)
    labels = lessons.labels[rows]
    logits = network(lessons.numbers[rows], lessons.codes[rows])  # [b, tasks and perhaps the rating]
    tasks = logits[:, : labels.shape[1]]
    weights = torch.tensor(list(config.tasks.values()))
    loss = torch.zeros(())
    if config.binary:
        each = F.binary_cross_entropy_with_logits(tasks, labels, reduction="none").mean(dim=0)
        loss = loss + config.binary * (each @ weights)
    if config.listwise and lessons.groups[slates].max() > 1:
        loss = loss + config.listwise * listwise(tasks @ weights, labels @ weights, lessons.groups[slates])
    known = ~torch.isnan(lessons.ratings[rows])
    if config.ratings and known.any():
        loss = loss + config.ratings * F.mse_loss(logits[known, -1], lessons.ratings[rows][known])
    return loss


def listwise(scores: Tensor, gains: Tensor, groups: Indices) -> Tensor:
    """Softmax cross-entropy over each slate (ListNet's top one, Cao et al. 2007), mean over slates with a gain.

    scores, gains: [n], slate after slate. 0 where no slate has a gain.
    """
    slate = torch.from_numpy(np.repeat(np.arange(len(groups)), groups))
    place = torch.from_numpy(np.arange(len(scores)) - np.repeat(np.cumsum(groups) - groups, groups))
    shape = (len(groups), int(groups.max()))
    padded = torch.full(shape, -1e9).index_put((slate, place), scores)  # [slates, longest]
    wanted = torch.zeros(shape).index_put((slate, place), gains)
    total = wanted.sum(dim=1)
    told = total > 0
    if not told.any():
        return scores.sum() * 0
    share = wanted[told] / total[told, None]
    return -(share * F.log_softmax(padded[told], dim=1)).sum(dim=1).mean()


@contextmanager
def seeded(seed: int, threads: int) -> Iterator[None]:
    """Torch draws from this seed, on so many threads; afterwards as if nothing had happened."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
