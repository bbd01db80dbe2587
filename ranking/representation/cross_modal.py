"""From one modality of an item to another: does its picture find its text?

Recommendation does not ask that, and the alignment is not made for it. So each pair of modalities has a space of its
own, by canonical correlation analysis. Contrastive learning finds no more there than this closed form, which takes a
second instead of ten: see docs/alignment.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Final, Self

import numpy as np

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, save_arrays
from ranking.representation.cca import Cca, tuned
from ranking.representation.content import ItemContent
from ranking.representation.inputs import has_content, principal, under, unit_rows
from ranking.types import Floats

LEAST: Final = 100  # items that have both; a fifth of fewer says nothing about a setting


@dataclass(frozen=True)
class CrossModal:
    """Where two modalities lie together.

    means: modality -> float32 [d], what its vectors are centred by. axes: modality -> float32 [d, rank], see `Cca`.
    """

    means: Mapping[str, Floats]
    axes: Mapping[str, Floats]

    @classmethod
    def fit(cls, content: ItemContent, one: Modality, other: Modality, *, seed: int = 0) -> Self:
        """Learn from the items that have both, at least `LEAST`; rank and shrinkage are `tuned`."""
        both = content.present[one] & content.present[other]
        known = {side: content.vectors[side][both] for side in (one, other)}
        means = {str(side): vectors.mean(axis=0) for side, vectors in known.items()}
        sides = [unit_rows(vectors - means[side]) for side, vectors in known.items()]
        bases = [principal(side) for side in sides]  # no worse than all directions, in a quarter of the time
        left, right = (side @ base for side, base in zip(sides, bases, strict=True))
        rank, shrinkage = tuned(left, right, seed=seed)
        cca = Cca.fit(left, right, rank=rank, shrinkage=shrinkage)
        return cls(means, {str(one): bases[0] @ cca.left, str(other): bases[1] @ cca.right})

    def place(self, modality: Modality, vectors: Floats) -> Floats:
        """Vectors of one of the two, as its encoder makes them, float32 [n, d], in the common space [n, rank].

        Unit rows; rows of zeros stay.
        """
        centred = unit_rows(vectors - self.means[modality]) @ self.axes[modality]
        return np.where(has_content(vectors)[:, None], unit_rows(centred), np.float32(0))

    def save(self, path: Path) -> None:
        """Write a safetensors file."""
        arrays = {f"means.{name}": mean for name, mean in self.means.items()}
        save_arrays(path, arrays | {f"axes.{name}": axes for name, axes in self.axes.items()})

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        arrays = load_arrays(path)
        return cls(under(arrays, "means."), under(arrays, "axes."))


def fit_pairs(content: ItemContent, *, seed: int = 0) -> dict[str, CrossModal]:
    """A model of each two modalities that enough items have, by `pair_name`."""
    return {
        pair_name(one, other): CrossModal.fit(content, one, other, seed=seed)
        for one, other in combinations(sorted(content.vectors), 2)
        if (content.present[one] & content.present[other]).sum() >= LEAST
    }


def pair_name(one: Modality, other: Modality) -> str:
    """The name of two modalities, whichever comes first.

    >>> pair_name(Modality.TEXT, Modality.IMAGE)
    'image-text'
    """
    return "-".join(sorted((one, other)))
