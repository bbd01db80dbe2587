"""Where the items lie: the aligned space as a ranker sees it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from feature_repo.schema import Modality
from ranking.artifacts import load_arrays, save_arrays
from ranking.rankers.features import Part
from ranking.types import Codes, Floats, Queries

AXES: Final = 8  # principal axes that trees may split on, so that surroundings and kind of item can meet
RECENT: Final = 5  # latest liked items that a candidate is compared with one by one

_PART: Final = {Modality.TEXT: Part.TEXT, Modality.IMAGE: Part.IMAGE, Modality.AUDIO: Part.AUDIO}


@dataclass(frozen=True)
class Space:
    """Item vectors, rows in the order of the item codes.

    fused: float32 [n, d], unit rows, 0 for an item without content. by_modality: the same for each modality alone.
    appeal: float32 [n], popularity as content alone predicts it. axes: float32 [d, AXES], principal axes of `fused`.
    """

    fused: Floats
    by_modality: dict[Modality, Floats]
    appeal: Floats
    axes: Floats

    @classmethod
    def of(cls, fused: Floats, by_modality: dict[Modality, Floats], appeal: Floats) -> Self:
        """With the principal axes of the fused vectors."""
        centred = fused - fused.mean(axis=0)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        axes = vectors[:, ::-1][:, :AXES]
        signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
        return cls(fused, by_modality, appeal, (axes * signs).astype(np.float32))

    def features(self, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> dict[str, Floats]:
        """Columns float32 [n] for candidates (row of the query, item code)."""
        columns = {"content_appeal": self.appeal[item]}
        for number, axis in enumerate((self.fused @ self.axes).T):
            columns[f"content_axis_{number}"] = axis[item]
        columns["content_similarity"] = _similarity(self.fused, row, item, queries)
        for modality, vectors in self.by_modality.items():
            columns[f"{modality}_similarity"] = _similarity(vectors, row, item, queries)
        nearest = _nearest_recent(self.fused, row, item, queries)
        columns["content_similarity_to_recent"] = nearest
        return columns

    def save(self, folder: Path) -> None:
        """Write the arrays."""
        save_arrays(
            folder / "space.safetensors",
            {
                "fused": self.fused,
                "appeal": self.appeal,
                "axes": self.axes,
                **{f"modality.{name}": vectors for name, vectors in self.by_modality.items()},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        arrays = load_arrays(folder / "space.safetensors")
        by_modality = {
            Modality(name.removeprefix("modality.")): array.astype(np.float32)
            for name, array in arrays.items()
            if name.startswith("modality.")
        }
        fused, appeal, axes = (arrays[name].astype(np.float32) for name in ("fused", "appeal", "axes"))
        return cls(fused, by_modality, appeal, axes)


def part_of(name: str) -> Part:
    """Which part of the platform a column of `Space.features` tells of."""
    return next((part for modality, part in _PART.items() if name == f"{modality}_similarity"), Part.CONTENT)


def _similarity(vectors: Floats, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> Floats:
    """Cosine of each candidate with the mean of what the query's user liked; NaN where either has no vector."""
    liked = queries.matrix(queries.positive.astype(np.float32))
    profile = np.asarray(liked @ vectors)
    length = np.linalg.norm(profile, axis=1, keepdims=True)
    profile = np.divide(profile, length, out=np.full_like(profile, np.nan), where=length > 1e-9)
    cosine = np.einsum("nd,nd->n", profile[row], vectors[item])
    return np.where(vectors[item].any(axis=1), cosine, np.nan).astype(np.float32)


def _nearest_recent(vectors: Floats, row: npt.NDArray[np.int64], item: Codes, queries: Queries) -> Floats:
    """Highest cosine of each candidate with one of the query's latest liked items; NaN without any."""
    best = np.full(len(row), np.nan, np.float32)
    for place in range(RECENT):
        recent = _latest_liked(queries, place)[row]
        cosine = np.einsum("nd,nd->n", vectors[np.maximum(recent, 0)], vectors[item])
        best = np.fmax(best, np.where(recent >= 0, cosine, np.nan))
    return best


def _latest_liked(queries: Queries, place: int) -> Codes:
    """Item code of each query's liked item that is `place` places before the latest, -1 where there is none."""
    row, item = queries.row[queries.positive], queries.item[queries.positive]
    counts = np.bincount(row, minlength=len(queries))
    last = np.cumsum(counts) - 1 - place
    there = counts > place
    found = np.full(len(queries), -1, np.int32)
    found[there] = item[last[there]]
    return found
