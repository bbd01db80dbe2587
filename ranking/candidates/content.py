"""The content-only baseline: items that look, read or sound like those liked before."""

from typing import ClassVar, Self

from ranking.candidates.aligned import Aligned, AlignedConfig
from ranking.representation.inputs import unit_rows
from ranking.types import Bools, Floats


class ContentKnn(Aligned):
    """Cosine between the mean of the liked items' content and an item's, in a frozen encoder's space."""

    name: ClassVar[str] = "content"

    @classmethod
    def of(cls, raw: Floats, present: Bools, config: AlignedConfig | None = None) -> Self:
        """From raw content vectors [n_items, d] and where there are any, bool [n_items].

        The mean is subtracted first: encoders' vectors share a large common part, and without its removal cosines on
        cold items are below chance.
        """
        centred = (raw - raw[present].sum(axis=0) / max(present.sum(), 1)) * present[:, None]
        return cls(config or AlignedConfig(), unit_rows(centred))
