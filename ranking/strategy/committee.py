"""Several rankers of the same columns that vote: each learned from other users than the next."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.features import FeatureMatrix
from ranking.types import Bools, Codes, Floats

Sizes = npt.NDArray[np.int64]
FOLDS: Final = 2


@dataclass(frozen=True)
class Committee:
    """score = mean of the members' scores."""

    members: tuple[Blend, ...]

    @classmethod
    def fit(
        cls,
        features: FeatureMatrix,
        labels: Bools,
        groups: Sizes,
        users: Codes,
        *,
        config: BlendConfig,
        folds: int = FOLDS,
        seed: int = 0,
    ) -> tuple[Self, Floats]:
        """One member a fold of users, learned from the slates of all other users; and scores of the rows, float32 [n].

        Each row's score comes from the member that knows nothing of its user, so that it can be judged by. users: int32
        [q], whose slates these are; several may be one user's. Rows in slate order, `groups` their sizes.
        """
        everybody, which = np.unique(users, return_inverse=True)
        fold = (np.random.default_rng(seed).permutation(len(everybody)) % folds)[which]
        scores = np.zeros(len(features), np.float32)
        members = []
        for one in range(folds):
            mine = np.repeat(fold == one, groups)
            member = Blend.fit(_rows(features, ~mine), labels[~mine], groups[fold != one], config=config)
            scores[mine] = member.score(_rows(features, mine), groups[fold == one])
            members.append(member)
        return cls(tuple(members)), scores

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are read, in order."""
        return self.members[0].names

    def score(self, features: FeatureMatrix, groups: Sizes) -> Floats:
        """Scores float32 [n], comparable within a slate only."""
        voices = np.stack([one.score(features, groups) for one in self.members])
        return np.asarray(voices.mean(axis=0), np.float32)

    def contributions(self, slate: FeatureMatrix, rows: Sizes) -> npt.NDArray[np.float64]:
        """What each feature adds to the scores of some rows of one slate, as `Blend.contributions`."""
        return np.asarray(np.mean([one.contributions(slate, rows) for one in self.members], axis=0))

    def save(self, folder: Path) -> None:
        """Write each member into a folder of its own."""
        save_as(folder / "committee.json", len(self.members), int)
        for number, member in enumerate(self.members):
            (folder / str(number)).mkdir()
            member.save(folder / str(number))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        count = load_as(folder / "committee.json", int)
        return cls(tuple(Blend.load(folder / str(number)) for number in range(count)))


def _rows(features: FeatureMatrix, rows: Bools) -> FeatureMatrix:
    return FeatureMatrix(features.names, features.values[rows], features.parts)
