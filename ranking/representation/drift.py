"""How far a faster form of a network is from the network itself, measured once and kept beside it."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ranking.types import Floats

DRIFT: Final = "drift.json"


@dataclass(frozen=True)
class Drift:
    """Cosines between both vectors of an item: their mean and the least of `items` of them.

    sha256: of the faster model's file, empty where it has none.
    """

    mean_cosine: float
    min_cosine: float
    items: int
    sha256: str = ""

    @classmethod
    def between(cls, exact: Floats, near: Floats, *, sha256: str = "") -> "Drift":
        """Of vectors [n, dim] in the same order; a vector of zeros has cosine 0 with any."""
        lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(near, axis=1)
        cosines = (exact * near).sum(1) / np.maximum(lengths, np.finfo(np.float32).tiny)
        return cls(float(cosines.mean()), float(cosines.min()), len(exact), sha256)

    @classmethod
    def read(cls, folder: Path) -> "Drift | None":
        """What was measured; None where nothing was, or what is there is torn."""
        try:
            return cls(**json.loads((folder / DRIFT).read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Into a folder that is there."""
        (folder / DRIFT).write_text(json.dumps(asdict(self), indent=2) + "\n")

    def __str__(self) -> str:
        return f"mean cosine {self.mean_cosine:.4f}, least {self.min_cosine:.4f} over {self.items} items"
