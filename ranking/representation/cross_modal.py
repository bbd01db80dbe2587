"""From one modality of an item to another: does its picture find its text?

Recommendation does not ask that, and the alignment is not made for it. Here two models are fitted for each pair of
modalities, a closed form (CCA) and a contrastive one (linear heads, symmetric InfoNCE with much dropout of its inputs),
and the one that finds more of the hidden items is kept: with some thousand pairs that is mostly the closed form.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Final

import numpy as np

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.cca import Cca, mean_recall, tuned
from ranking.representation.inputs import unit_rows
from ranking.types import Floats, Interactions, ItemContent

CCA, CONTRASTIVE = "cca", "contrastive"
CONTRAST: Final = AlignmentConfig(user_items=0, hidden=0, batch=512, steps=300, contrast_dropout=0.7)
SHARE, MOST, LEAST = 0.2, 500, 20  # of the items are hidden: which share, how many at most, and of a pair at least


@dataclass(frozen=True)
class Found:
    """Which model a pair of modalities keeps; recall@10 of each among the hidden items, mean of both ways."""

    chosen: str
    hidden: int
    recall: Mapping[str, float]


@dataclass(frozen=True)
class CrossModal:
    """For each pair of modalities, "image-text" say, the better model.

    closed: pair -> its CCA. means: "pair.modality" -> float32 [d], what vectors are centred by before it. contrastive:
    None where no pair keeps it.
    """

    pairs: Mapping[str, Found]
    closed: Mapping[str, Cca]
    means: Mapping[str, Floats]
    contrastive: Alignment | None

    @classmethod
    def fit(
        cls, content: ItemContent, train: Interactions, *, contrast: AlignmentConfig = CONTRAST, seed: int = 0
    ) -> "CrossModal":
        """Learn from all items that have two modalities; pairs of fewer than 100 items have no model.

        train: who likes what, so that items of one audience are no negatives.
        """
        n = len(content.items)
        hidden = np.zeros(n, bool)
        several = np.flatnonzero(np.sum(list(content.present.values()), axis=0) > 1)
        hidden[np.random.default_rng(seed).permutation(several)[: min(MOST, round(SHARE * len(several)))]] = True
        known = replace(content, present={name: there & ~hidden for name, there in content.present.items()})
        pairs: dict[str, Found] = {}
        closed: dict[str, Cca] = {}
        means: dict[str, Floats] = {}
        trial: Alignment | None = None
        for one, other in combinations(sorted(content.vectors), 2):
            both = content.present[one] & content.present[other]
            asked, learned = np.flatnonzero(both & hidden), np.flatnonzero(both & ~hidden)
            if len(asked) < LEAST or len(learned) < LEAST / SHARE:
                continue
            trial = trial or Alignment.fit(known, train, config=contrast, seed=seed)
            heads = trial.modality_vectors(content)
            centres = [content.vectors[side][learned].mean(axis=0) for side in (one, other)]
            left, right = (_centred(content, side, mean) for side, mean in zip((one, other), centres, strict=True))
            rank, shrinkage = tuned(left[learned], right[learned], seed=seed)
            cca = Cca.fit(left[learned], right[learned], rank=rank, shrinkage=shrinkage)
            recall = {
                CCA: mean_recall(*cca.project(left[asked], right[asked])),
                CONTRASTIVE: mean_recall(heads[one][asked], heads[other][asked]),
            }
            chosen = CONTRASTIVE if recall[CONTRASTIVE] > recall[CCA] else CCA
            name = f"{one}-{other}"
            pairs[name] = Found(chosen, len(asked), recall)
            closed[name] = Cca.fit(left[both], right[both], rank=rank, shrinkage=shrinkage)
            means |= {f"{name}.{side}": mean for side, mean in zip((one, other), centres, strict=True)}
        wanted = any(found.chosen == CONTRASTIVE for found in pairs.values())
        contrastive = Alignment.fit(content, train, config=contrast, seed=seed) if wanted else None
        return cls(pairs, closed, means, contrastive)

    def vectors(self, content: ItemContent, one: str, other: str) -> dict[str, Floats]:
        """Both modalities of any items in the space of their pair: float32 [n, d] each, unit rows, 0 where missing.

        Raises KeyError for a pair that is not among `pairs`.
        """
        name = "-".join(sorted((one, other)))
        found = self.pairs[name]
        if found.chosen == CONTRASTIVE and self.contrastive is not None:
            heads = self.contrastive.modality_vectors(content)
            return {side: heads[side] for side in (one, other)}
        left, right = name.split("-")
        sides = self.closed[name].project(
            *(_centred(content, side, self.means[f"{name}.{side}"]) for side in (left, right))
        )
        return dict(zip((left, right), sides, strict=True))

    def save(self, folder: Path) -> None:
        """Write into an existing folder."""
        save_as(folder / "cross_modal.json", dict(self.pairs), dict[str, Found])
        arrays = {f"means.{name}": mean for name, mean in self.means.items()}
        for name, cca in self.closed.items():
            arrays |= {f"left.{name}": cca.left, f"right.{name}": cca.right}
        save_arrays(folder / "cross_modal.safetensors", arrays)
        if self.contrastive is not None:
            (folder / CONTRASTIVE).mkdir()
            self.contrastive.save(folder / CONTRASTIVE)

    @classmethod
    def load(cls, folder: Path) -> "CrossModal":
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        pairs = load_as(folder / "cross_modal.json", dict[str, Found])
        arrays = {name: one.astype(np.float32) for name, one in load_arrays(folder / "cross_modal.safetensors").items()}
        closed = {name: Cca(arrays[f"left.{name}"], arrays[f"right.{name}"]) for name in pairs}
        means = {name.removeprefix("means."): one for name, one in arrays.items() if name.startswith("means.")}
        kept = folder / CONTRASTIVE
        return cls(pairs, closed, means, Alignment.load(kept) if kept.exists() else None)


def _centred(content: ItemContent, modality: str, mean: Floats) -> Floats:
    """What CCA reads: centred, unit rows, 0 where an item has none."""
    vectors = unit_rows(content.vectors[Modality(modality)] - mean)
    return np.where(content.present[Modality(modality)][:, None], vectors, np.float32(0))
