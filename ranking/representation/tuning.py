"""Tuning of an encoder by a small adapter on the alignment's objective.

First the heads learn on the vectors as they are (linear probing before fine-tuning, Kumar et al. 2022: a random head
would bend the encoder for nothing), then heads and adapter together. What is kept is the adapter of the step with the
highest recall among held-out items: from text to picture and back, and from what a user likes to what else the user
likes (behaviour is a modality here), the mean of both. A gain within one standard error of the recall is taken for
chance; then no adapter is written.

A step draws from a generator of its own number, so that a run that was killed and goes on is the run that was not.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from scipy import sparse
from torch import Tensor

from ranking.errors import TuningError
from ranking.representation.adapters import Adapter, adapter_id, save_adapter, targets
from ranking.representation.encoder import Decoded, NetworkEncoder
from ranking.representation.inputs import Masked
from ranking.representation.sources import Content
from ranking.representation.tuning_checkpoint import Checkpoint, Recall, named, unwritable
from ranking.representation.tuning_config import TuningConfig
from ranking.representation.tuning_curves import Curves
from ranking.representation.tuning_objective import Pairs, Rows
from ranking.representation.tuning_run import Items, Run
from ranking.types import Floats

LEAST_PAIRS: Final = 40  # items with another modality, a quarter of which is held out
CHECKPOINT: Final = "checkpoint.safetensors"


@dataclass(frozen=True)
class Material:
    """What there is to learn from: n items that have the modality to be tuned.

    contents: their texts or files. vectors: float32 [n, dim] of the encoder without adapter. others: further
    modalities, centred unit rows. liked: users x n, positive events of the training part.
    """

    contents: Sequence[Content]
    vectors: Floats
    others: Mapping[str, Masked]
    liked: sparse.csr_matrix

    def digest(self) -> str:
        """Changes with any part of it."""
        whole = hashlib.sha256("".join(one.content_hash for one in self.contents).encode())
        for name, one in self.others.items():
            whole.update(name.encode() + np.ascontiguousarray(one.values).data)
        whole.update(np.ascontiguousarray(self.vectors).data)
        whole.update(self.liked.indptr.tobytes() + self.liked.indices.tobytes())
        return whole.hexdigest()


@dataclass(frozen=True)
class TuningResult:
    """How it went. recalls: (step, modality -> recall@10 among the held-out items), the first before any step.

    best_step: 0 if none was better than the encoder as it was by more than a standard error. folder: where the adapter
    lies, None without one.
    """

    recalls: list[Recall]
    best_step: int
    held_out: int
    folder: Path | None = None

    @property
    def before(self) -> float:
        """Mean recall@10 over the other modalities before any step."""
        return mean(self.recalls[0][1])

    @property
    def after(self) -> float:
        """The same at the best step."""
        return next(mean(found) for step, found in self.recalls if step == self.best_step)

    @property
    def standard_error(self) -> float:
        """Of the recall before, over the held-out items."""
        return math.sqrt(self.before * (1 - self.before) / self.held_out)


@dataclass
class _Best:
    step: int = 0
    state: dict[str, Tensor] = field(default_factory=dict)


def tune(
    encoder: NetworkEncoder[Decoded],
    material: Material,
    folder: Path,
    *,
    config: TuningConfig,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> TuningResult:
    """Tune, go on with a tuning of the same material and configuration that was killed, or give its result again.

    folder: adapters are put there, `<modality>-<id>` each; checkpoint and curves under `runs`. progress: is told what
    is done, how many steps of it, and of how many. Raises `TuningError` where there is too little to learn from or
    nothing can be written.
    """
    train, held_out = _divided(encoder, material, config)
    place = folder / "runs" / f"{encoder.modality}-{_key(encoder, material, config)}"
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(place, error) from error
    network = encoder.load()
    names = targets(network, config.kind, encoder.modality, share=config.share)
    adapter = Adapter(config.kind, encoder.modality, encoder.id, config.rank, config.strength, names)
    run = Run(encoder, adapter, network, train, held_out, config)
    recalls, best, start = _begin(run, place / CHECKPOINT, progress)
    with torch.random.fork_rng():
        curves = Curves(place, name=place.name, step=start, settings=asdict(config))
        for number in range(start, config.steps):
            if _stopped(recalls, best.step, config):
                break
            loss = run.step(number)
            curves.write(number + 1, {"loss": loss})
            progress("tuning", number + 1, config.steps)
            if (number + 1) % config.evaluate_every and number + 1 < config.steps:
                continue
            found = run.recall()
            recalls.append((number + 1, found))
            curves.write(number + 1, {f"recall@10/{name}": value for name, value in found.items()})
            if mean(found) > max(mean(one) for _, one in recalls[:-1]):
                best = _Best(number + 1, run.adapter())
            _save(run, recalls, best, place / CHECKPOINT)
        curves.close()
    result = TuningResult(recalls, best.step, len(held_out.contents))
    if result.after - result.before <= result.standard_error:
        return replace(result, best_step=0)
    return replace(result, folder=_keep(folder, adapter, best, result, config))


def mean(found: Mapping[str, float]) -> float:
    """Over the modalities."""
    return sum(found.values()) / len(found)


def _begin(run: Run[Decoded], path: Path, progress: Callable[[str, int, int], None]) -> tuple[list[Recall], _Best, int]:
    """Recalls so far, the best adapter so far, and the next step."""
    checkpoint = Checkpoint.load(path)
    if checkpoint is None:
        with torch.random.fork_rng():
            run.probe(lambda done, total: progress("heads", done, total))
        recalls, best = [(0, run.recall())], _Best()
        _save(run, recalls, best, path)
        return recalls, best, 0
    run.restore(checkpoint, path)
    recalls = list(checkpoint.recalls)
    return recalls, _Best(checkpoint.best, checkpoint.under("best")), recalls[-1][0]


def _save(run: Run[Decoded], recalls: list[Recall], best: _Best, path: Path) -> None:
    Checkpoint(run.arrays() | named("best", best.state), recalls, best.step).save(path)


def _stopped(recalls: list[Recall], best: int, config: TuningConfig) -> bool:
    return sum(step > best for step, _ in recalls) >= config.patience


def _divided(encoder: NetworkEncoder[Decoded], material: Material, config: TuningConfig) -> tuple[Items, Items]:
    """What is learned from, and items that are held out."""
    paired = np.zeros(len(material.contents), bool)
    for one in material.others.values():
        paired |= one.present
    if paired.sum() < LEAST_PAIRS:
        raise TuningError(
            f"tuning {encoder.modality}: {paired.sum()} items have it and another modality, needed are {LEAST_PAIRS}; "
            "add pictures, sounds or texts to the items"
        )
    chosen = np.random.default_rng(config.seed).permutation(np.flatnonzero(paired))
    hidden = np.sort(chosen[: min(config.held_out, len(chosen) // 4)])
    rest = np.setdiff1d(np.arange(len(paired)), hidden)
    return _items(material, rest), _items(material, hidden)


def _items(material: Material, rows: Rows) -> Items:
    others = {name: one for name, one in material.others.items() if one.present.any()}
    pairs = Pairs(
        {name: torch.from_numpy(one.values[rows]) for name, one in others.items()},
        {name: torch.from_numpy(one.present[rows]) for name, one in others.items()},
        material.liked[:, rows].tocsr(),
    )
    return Items([material.contents[row] for row in rows], torch.from_numpy(material.vectors[rows]), pairs)


def _key(encoder: NetworkEncoder[Decoded], material: Material, config: TuningConfig) -> str:
    whole = {"encoder": encoder.id, "material": material.digest(), "config": asdict(config)}
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:12]


def _keep(folder: Path, adapter: Adapter, best: _Best, result: TuningResult, config: TuningConfig) -> Path:
    """Write the adapter under the name of its content, with what was measured."""
    fresh = folder / f".{adapter.modality}.new"
    report = {"config": asdict(config), "recalls": result.recalls, "best_step": best.step, "held_out": result.held_out}
    try:
        fresh.mkdir(exist_ok=True)
        save_adapter(fresh, adapter, best.state)
        (fresh / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        place = folder / f"{adapter.modality}-{adapter_id(fresh)}"
        if place.exists():  # the same content
            shutil.rmtree(fresh)
            return place
        return fresh.rename(place)
    except (OSError, SafetensorError) as error:
        raise unwritable(fresh, error) from error
