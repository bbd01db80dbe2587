"""The spaces of pairs of modalities in a release: a text looks for pictures where texts and pictures lie together.

<release>/cross_modal/<pair>/model.safetensors       what leads a vector of either modality into the pair's space
<release>/cross_modal/<pair>/<modality>/             where that modality of every item lies there, and its `VectorIndex`
"""

from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from feature_repo.schema import Modality
from feature_repo.settings import Search
from ranking.artifacts import load_arrays, save_arrays
from ranking.representation.content import ItemContent
from ranking.representation.cross_modal import CrossModal, pair_name
from ranking.representation.index import VectorIndex

CROSS_MODAL: Final = "cross_modal"
MODEL: Final = "model.safetensors"
VECTORS: Final = "vectors.safetensors"


class PairSpaces:
    """What `save_pairs` wrote, each file read when it is first asked for; several threads may use it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.model = cache(self._model)
        self.side = cache(self._side)

    def holds(self, one: Modality, other: Modality) -> bool:
        """Whether the release has a space of the two."""
        return one is not other and (self._folder / pair_name(one, other)).is_dir()

    def _model(self, one: Modality, other: Modality) -> CrossModal:
        """Of two modalities that are held; raises `ArtifactError` for a missing or damaged file."""
        return CrossModal.load(self._folder / pair_name(one, other) / MODEL)

    def _side(self, modality: Modality, beside: Modality) -> VectorIndex:
        """One modality of all items in the space that it has with another; raises as `_model` does."""
        folder = self._folder / pair_name(modality, beside) / modality
        vectors = load_arrays(folder / VECTORS).get("vectors", np.zeros((0, 0)))
        return VectorIndex.load(folder, vectors.astype(np.float32, copy=False))


def save_pairs(folder: Path, models: dict[str, CrossModal], content: ItemContent, config: Search) -> None:
    """Place all items in the space of each pair and index both sides; folder: a new one.

    models: by `pair_name`. Raises `RecallError` where an approximate index finds too few.
    """
    for name, model in models.items():
        place = folder / name
        place.mkdir(parents=True)
        model.save(place / MODEL)
        placed = {side: model.place(side, content.vectors[side]) for side in map(Modality, model.axes)}
        for side, vectors in placed.items():
            (asking,) = (others for other, others in placed.items() if other is not side)
            (place / side).mkdir()
            save_arrays(place / side / VECTORS, {"vectors": vectors})
            VectorIndex.build(vectors, config, queries=asking[asking.any(axis=1)]).save(place / side)
