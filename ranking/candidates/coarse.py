"""Vectors in eight bits: a quarter of the memory to read, for finding what is worth comparing exactly."""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.kernels import coarse_products
from ranking.types import Floats

LARGEST: Final = 127


@dataclass(frozen=True)
class Coarse:
    """Whole numbers int8 [n, d], each column by its own scale, float32 [d]: the largest of a column is 127."""

    vectors: npt.NDArray[np.int8]
    scale: Floats

    @classmethod
    def of(cls, vectors: Floats) -> Self:
        """From vectors float32 [n, d]."""
        scale = np.maximum(np.abs(vectors).max(axis=0, initial=0), 1e-12) / LARGEST
        return cls(np.round(vectors / scale).astype(np.int8), scale.astype(np.float32))

    def products(self, wanted: Floats) -> Floats:
        """Inner products float32 [n] with one vector [d], to within its rounding and the vectors'."""
        scaled = wanted * self.scale
        unit = max(float(np.abs(scaled).max(initial=0)), 1e-12) / (LARGEST * LARGEST)
        found = np.empty(len(self.vectors), np.float32)
        coarse_products(found, self.vectors, np.round(scaled / unit).astype(np.int16))
        return found * np.float32(unit)
