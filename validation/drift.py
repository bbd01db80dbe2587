"""Whether vectors are still of the kind that they were: their projections now against those of the last release."""

from dataclasses import dataclass
from typing import Final

from validation.vector_statistics import Doubles, Floats, evenly_spaced, ks, projected, psi

SAMPLE: Final = 10_000  # vectors that are remembered
ENOUGH: Final = 200  # on both sides; two samples of 200 from one distribution have a PSI of about .09


@dataclass(frozen=True)
class Profile:
    """What a release remembers of a table of vectors.

    made_by: what made them; vectors of another maker are of another space. dimension: their length.
    values: float64 [n, 16], projections of at most 10,000 of them.
    """

    made_by: str
    dimension: int
    values: Doubles

    @classmethod
    def of(cls, vectors: Floats, made_by: str) -> "Profile":
        """Of float32 [n, d], finite; of more than 10,000 rows, evenly spaced ones."""
        sample = vectors[evenly_spaced(len(vectors), SAMPLE)]
        return cls(made_by, vectors.shape[1], projected(sample))

    def incomparable(self, dimension: int, made_by: str, count: int) -> str | None:
        """Why vectors cannot be compared with the ones remembered; None where they can."""
        if min(count, len(self.values)) < ENOUGH:
            return f"{count} vectors, {len(self.values)} in the last release; {ENOUGH} of both are needed"
        if (made_by, dimension) != (self.made_by, self.dimension):
            return f"made by {made_by} ({dimension} numbers), in the last release by {self.made_by} ({self.dimension})"
        return None


def drift(before: Profile, now: Profile) -> tuple[float, float]:
    """PSI and KS statistic of two comparable profiles, each the mean over the projections.

    The mean, as a random direction says nothing by itself: the largest of the 16 is .68 where the alignment was merely
    learned with another seed, the mean .12 (PSI, planted world).
    """
    pairs = list(zip(before.values.T, now.values.T, strict=True))
    return sum(psi(*pair) for pair in pairs) / len(pairs), sum(ks(*pair) for pair in pairs) / len(pairs)
