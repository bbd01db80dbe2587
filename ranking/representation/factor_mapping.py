"""What audience will an item have? Predicted from its content alone, in closed form, for whatever modalities it has.

Kernel ridge regression (Saunders et al. 1998) from content to `item_factors`. The kernel is the sum of one Gaussian a
head, so that likeness in text alone, or in picture alone, says something. It ranks new items better than a linear ridge
of the same inputs and better than the alignment; see docs/alignment.md.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_arrays, load_as, save_arrays, save_as
from ranking.errors import ArtifactError
from ranking.representation.behaviour import item_factors, positives
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping_choice import Choice, choose
from ranking.representation.inputs import Inputs, Masked, has_content
from ranking.representation.kernels import kernel, ridge
from ranking.types import Codes, Floats, Interactions

MAX_TAUGHT: Final = 4096  # items learned from, the most liked; 1024: .183, 2048: .199, all 4,270: .210 (64 factors)
BATCH: Final = 4096  # items predicted at one time


@dataclass(frozen=True)
class FactorMapping:
    """A fitted kernel ridge.

    factors: float32 [n, dim], `item_factors` of the items of the fit. taught: int32 [m], those learned from.
    """

    inputs: Inputs
    choice: Choice
    factors: Floats
    taught: Codes
    _answered: dict[frozenset[str], tuple[ItemContent, Floats]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def fit(cls, content: ItemContent, train: Interactions, *, choice: Choice | None = None) -> "FactorMapping":
        """Learn from the positives of `train` alone; `content` is of the same items in the same order.

        choice: made by `choose` if not given.
        """
        liked = positives(train)
        likes = np.asarray(liked.sum(0)).ravel()
        inputs = Inputs.fit(content, likes > 0)
        masked = inputs.of(content)
        most = np.argsort(-likes, kind="stable")[:MAX_TAUGHT]
        taught = np.sort(most[likes[most] > 0]).astype(np.int32)
        rows = {head: one.rows(taught) for head, one in masked.items()}
        return cls(inputs, choice or choose(rows, liked[:, taught]), item_factors(liked), taught)

    def item_vectors(self, content: ItemContent, *, without: frozenset[str] = frozenset()) -> Floats:
        """Factors as content predicts them, float32 [n, dim], not normalised; 0 for an item without content.

        content: of the items of the fit, in its order. without: heads to leave out, as if every item lacked them.
        An item that lacks some of the chosen heads is predicted by a ridge of those it has, as if it had been fitted
        for them alone; one that has none of them by a ridge of what else it has. An answer is kept for the next time.
        """
        asked, answer = self._answered.get(without, (None, None))
        if asked is not content or answer is None:
            answer = self._predicted(content, without)
            self._answered[without] = content, answer
        return answer

    def _predicted(self, content: ItemContent, without: frozenset[str]) -> Floats:
        masked = {head: one for head, one in self.inputs.of(content).items() if head not in without}
        predicted = np.zeros_like(self.factors)
        for heads, items in _by_presence(masked, self.choice.heads):
            taught = {head: masked[head].rows(self.taught) for head in heads}
            weights = ridge(kernel(taught, taught), self.factors[self.taught], self.choice.strength)
            for start in range(0, len(items), BATCH):
                some = items[start : start + BATCH]
                predicted[some] = kernel({head: masked[head].rows(some) for head in heads}, taught) @ weights
        return predicted

    def history_vectors(self, predicted: Floats) -> Floats:
        """What a user's history sums up: the known factors, predicted where nobody liked the item yet."""
        return np.where(has_content(self.factors)[:, None], self.factors, predicted)

    def save(self, folder: Path) -> None:
        """Write the fitted state into an existing folder."""
        self.inputs.save(folder)
        save_as(folder / "factor_mapping.json", self.choice, Choice)
        save_arrays(folder / "factor_mapping.safetensors", {"factors": self.factors, "taught": self.taught})

    @classmethod
    def load(cls, folder: Path) -> "FactorMapping":
        """Read what `save` wrote; raises `ArtifactError` for a missing or damaged file."""
        arrays = load_arrays(folder / "factor_mapping.safetensors")
        choice = load_as(folder / "factor_mapping.json", Choice)
        try:
            factors, taught = arrays["factors"].astype(np.float32), arrays["taught"].astype(np.int32)
        except KeyError as error:
            raise ArtifactError(
                f"{folder}: factor_mapping.safetensors lacks {error}; build the release again"
            ) from error
        return cls(Inputs.load(folder), choice, factors, taught)


def _by_presence(
    masked: Mapping[str, Masked], preferred: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], npt.NDArray[np.int64]]]:
    """Sets of heads, and the items that are to be predicted by them; items without any head are in none."""
    if not masked:
        return
    present = np.stack([one.present for one in masked.values()], axis=1)
    wanted = present & np.array([head in preferred for head in masked])
    read = np.where(wanted.any(axis=1, keepdims=True), wanted, present)
    patterns, of_item = np.unique(read, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.any():
            heads = tuple(head for head, there in zip(masked, pattern.tolist(), strict=True) if there)
            yield heads, np.flatnonzero(of_item == number)
