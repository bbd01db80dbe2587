"""Vectors in a quarter of the memory: a byte a coordinate, one scale a vector."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.types import Floats

LARGEST: Final = 127


@dataclass(frozen=True)
class Int8Rows:
    """values: int8 [n, d]. scale: float32 [n], 0 for a row of zeros. A vector is `values * scale`."""

    values: npt.NDArray[np.int8]
    scale: Floats

    @classmethod
    def of(cls, rows: Floats) -> "Int8Rows":
        """Rounded to the nearest of 255 steps: no coordinate is off by more than half its row's scale.

        >>> Int8Rows.of(np.array([[0.5, -1.0]], np.float32)).values
        array([[  64, -127]], dtype=int8)
        """
        scale = (np.abs(rows).max(axis=1, initial=0) / LARGEST).astype(np.float32)
        steps = np.rint(rows / np.where(scale > 0, scale, 1)[:, None])
        return cls(np.clip(steps, -LARGEST, LARGEST).astype(np.int8), scale)

    def restored(self) -> Floats:
        """Rows float32 [n, d], nearly those that were given."""
        return self.values * self.scale[:, None]


def least_cosine(rows: Floats, near: Floats) -> float:
    """The smallest cosine of a row with the one that stands for it, rows of zeros left out; 1 without any."""
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(near, axis=1)
    there = lengths > 0
    return float(((rows * near).sum(axis=1)[there] / lengths[there]).min(initial=1.0))
