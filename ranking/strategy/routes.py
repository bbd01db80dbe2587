"""Which models order the answer to which history: a ranker of short ones, the gate, and the rule beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.candidates.candidates import Candidates
from ranking.candidates.generator import top_k
from ranking.rankers.blend import Blend, BlendConfig
from ranking.rankers.features import FeatureMatrix
from ranking.rankers.linear import LinearConfig
from ranking.rankers.slates import Slates
from ranking.rankers.trees import TreesConfig
from ranking.splits import Split
from ranking.strategy.choice import HYBRID, Chosen, choose, chosen_for
from ranking.strategy.committee import Committee
from ranking.strategy.gate import PLAIN, Gate, GateConfig, Opinions, Values, ndcg_of, opinions_of, said_by
from ranking.strategy.spread import Spread
from ranking.types import UNKNOWN, Bools, Floats, Queries

Voice: TypeAlias = Blend | Committee
SHORT: Final = 10  # the longest history that the ranker of short ones answers: it learns from no longer one

Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RoutesConfig:
    """How histories of at most `SHORT` events are learned from.

    short: their ranker: 120 trees instead of 60, or a quarter of the negatives instead of an eighth, gave no more on
    MovieLens 100K. share: of the users it learns from.
    """

    short: BlendConfig = field(
        default_factory=lambda: BlendConfig(
            TreesConfig(trees=60, learning_rate=0.08, negatives=0.12), LinearConfig(negatives=0.12)
        )
    )
    share: float = 0.25


@dataclass(frozen=True)
class Told:
    """Slates of a division, and scores of their rows by a ranker that knows nothing of what came after, float32 [n]."""

    slates: Slates
    division: Split
    scores: Floats

    def opinions(self) -> Opinions:
        """As the gate learns from them."""
        queries, relevant = self.division.queries, self.division.relevant
        labels = self.slates.labels(relevant)
        return opinions_of(self.slates, self.scores, queries.lengths, labels, np.diff(relevant.indptr))


@dataclass(frozen=True)
class Routes:
    """Who orders which history.

    newcomer: orders those of at most `SHORT` events; None leaves them to the ranker, and those without any to
    popularity. choices: who answers each band of lengths. spread: how more of the catalogue is shown, where asked for;
    None where no long histories told of it.
    """

    newcomer: Committee | None
    gate: Gate
    choices: tuple[Chosen, ...]
    spread: Spread | None = None

    @classmethod
    def learn(cls, newcomer: Committee | None, told: Sequence[Told]) -> Self:
        """From slates that the rankers did not learn from."""
        opinions = [one.opinions() for one in told]
        gate = Gate.fit(opinions, config=GateConfig() if newcomer is not None else PLAIN)
        if not told:
            return cls(newcomer, gate, ())
        hybrid = [ndcg_of(gate.score(one.said, one.lengths), one.chosen, one.wanted) for one in opinions]
        singles = [singles_ndcg(one.slates.candidates, its) for one, its in zip(told, opinions, strict=True)]
        names = set.intersection(*map(set, singles))
        choices = choose(
            np.concatenate(hybrid),
            {name: np.concatenate([one[name] for one in singles]) for name in sorted(names)},
            np.concatenate([one.division.queries.user for one in told]),
            np.concatenate([one.lengths for one in opinions]),
        )
        return cls(newcomer, gate, choices)

    def spreading(self, told: Told, ranker: Voice) -> "Routes":
        """With what these slates tell of spreading; ranker: the one whose scores they hold."""
        candidates, opinions = told.slates.candidates, told.opinions()
        scores = self.scores(told.slates, told.division.queries, ranker, said=told.scores)
        place, best = top_k(scores, scores.shape[1])
        at = np.maximum(place, 0)
        items = np.where(place == UNKNOWN, UNKNOWN, np.take_along_axis(candidates.item, at, axis=1))
        hits = np.take_along_axis(opinions.chosen, at, axis=1) & (place != UNKNOWN)
        n_items = told.division.relevant.shape[1]
        return replace(self, spread=Spread.learn(items, best, hits, opinions.wanted, n_items=n_items))

    def scores(self, slates: Slates, queries: Queries, ranker: Voice, *, said: Floats | None = None) -> Floats:
        """Scores of the candidates, float32 [q, k], -inf in the padding, comparable within a query only.

        said: the ranker's scores of all rows, float32 [n], where it was asked before.
        """
        lengths = queries.lengths
        found = np.zeros(len(slates.row), np.float32) if said is None else said.copy()
        short = self._short(lengths)
        for voice, mine in ((self.newcomer, short), (ranker if said is None else None, ~short)):
            if voice is not None and slates.groups[mine].any():
                rows = np.repeat(mine, slates.groups)
                found[rows] = voice.score(_rows(slates.features, rows), slates.groups[mine])
        scores = self.gate.score(said_by(slates, found), lengths)
        for row, name in enumerate(self.chosen(lengths)):
            if name != HYBRID:
                scores[row] = by_single(slates.candidates, name, row)
        return scores

    def chosen(self, lengths: Sizes) -> list[str]:
        """Who answers histories of these lengths: the hybrid, or the name of a single model."""
        nobody = "popular_windowed" if self.newcomer is None else HYBRID
        found = chosen_for(self.choices, lengths)
        return [nobody if not length and name == HYBRID else name for length, name in zip(lengths, found, strict=True)]

    def voice(self, length: int, ranker: Voice) -> Voice | None:
        """The ranker that orders answers to a history of this length; None where a single model does."""
        if self.chosen(np.array([length]))[0] != HYBRID:
            return None
        return self.newcomer if self._short(np.array([length]))[0] else ranker

    def _short(self, lengths: Sizes) -> Bools:
        return np.asarray(lengths <= SHORT) if self.newcomer is not None else np.zeros(len(lengths), bool)

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        self.gate.save(folder)
        save_as(folder / "choices.json", self.choices, tuple[Chosen, ...])
        save_as(folder / "routes.json", (self.newcomer is not None, self.spread is not None), tuple[bool, bool])
        if self.newcomer is not None:
            (folder / "newcomer").mkdir()
            self.newcomer.save(folder / "newcomer")
        if self.spread is not None:
            self.spread.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        short, spread = load_as(folder / "routes.json", tuple[bool, bool])
        return cls(
            Committee.load(folder / "newcomer") if short else None,
            Gate.load(folder),
            load_as(folder / "choices.json", tuple[Chosen, ...]),
            Spread.load(folder) if spread else None,
        )


def learn_newcomers(slates: Slates, division: Split, config: RoutesConfig) -> tuple[Committee, Told]:
    """The ranker of short histories, from a division of `first_events`."""
    committee, scores = Committee.fit(
        slates.features, slates.labels(division.relevant), slates.groups, division.queries.user, config=config.short
    )
    return committee, Told(slates, division, scores)


def only_long(told: Told) -> Told:
    """The slates whose histories the ranker of long ones answers."""
    mine = told.division.queries.lengths > SHORT
    rows = np.repeat(mine, told.slates.groups)
    kept = told.slates.candidates.take(mine)
    groups = told.slates.groups[mine]
    slates = Slates(kept, groups, np.repeat(np.arange(len(groups)), groups), _rows(told.slates.features, rows))
    return Told(slates, _some(told.division, np.flatnonzero(mine)), told.scores[rows])


def by_single(candidates: Candidates, name: str, row: int | slice = slice(None)) -> Floats:
    """Scores in one generator's order, float32; what it does not offer below, in the fusion's; -inf in the padding.

    A name that is not among the generators leaves the fusion's order.
    """
    item, fused = candidates.item[row], candidates.fused[row]
    scores = fused - 1
    if name in candidates.generators:
        place = candidates.rank[row, ..., candidates.generators.index(name)]
        scores = np.where(place > 0, 1 / np.maximum(place, 1), scores)
    return np.where(item == UNKNOWN, -np.inf, scores).astype(np.float32)


def singles_ndcg(candidates: Candidates, opinions: Opinions) -> dict[str, Values]:
    """NDCG@10 of each generator alone on the same slates, float64 [q] each; 0 where it offers nothing."""
    return {
        name: ndcg_of(by_single(candidates, name), opinions.chosen, opinions.wanted)
        * (candidates.rank[:, :, index] > 0).any(axis=1)
        for index, name in enumerate(candidates.generators)
    }


def _rows(features: FeatureMatrix, rows: Bools) -> FeatureMatrix:
    if rows.all():
        return features
    return FeatureMatrix(features.names, features.values[rows], features.parts)


def _some(division: Split, rows: npt.NDArray[np.int64]) -> Split:
    return Split(
        division.protocol,
        division.train,
        division.test,
        division.queries.take(rows),
        division.relevant[rows],
        division.cutoff,
        division.parameters,
    )
