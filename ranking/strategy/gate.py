"""Whom to trust at which length of a history: weights of groups of experts, learned, not fixed.

Of somebody without a history, popularity knows most; after a few events content and what goes together begin to speak;
of a long history the collaborative models and a ranker that reads them all. How fast one hands over to the next is
learned from slates and what came after them. Source: mixtures of experts (Jacobs et al. 1991), with a gate that sees
the history's length alone; coordinate ascent on the measure itself (Metzler and Croft 2007), since a softmax likelihood
over the slate (its other users' 50 likes count as much as the first ten places) cost 3 to 9 % of NDCG@10 after one to
five events on MovieLens 100K.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

import numba
import numpy as np
import numpy.typing as npt

from ranking.artifacts import load_as, save_as
from ranking.metrics import ndcg
from ranking.rankers.slates import Slates
from ranking.rankers.standardised import standardise
from ranking.strategy.weighting import GROUPS, Group
from ranking.types import UNKNOWN, Bools, Codes, Floats

Values = npt.NDArray[np.float64]
Sizes = npt.NDArray[np.int64]

RANKER: Final = "ranker"
EXPERTS: Final = ("popularity", "content", "session", "collaborative", RANKER)
KNOTS: Final = (0, 1, 3, 5, 10, 50)  # history lengths; between them weights run in log(1 + length)
STEPS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6)  # weights that are tried, beside the ranker's of 1
SWEEPS: Final = 2
DEPTH: Final = 10
SESSION: Final = frozenset({"covisitation", "repeat", "sasrec", "sequel"})
_EXPERTS_OF: Final = {
    Group.POPULARITY: "popularity",
    Group.CONTEXT: "popularity",
    Group.CONTENT: "content",
    Group.COLLABORATIVE: "collaborative",
}


@dataclass(frozen=True)
class GateConfig:
    """start: popularity's weight at each knot before anything is learned; a ranker of few users varies, it does not.

    drawn_back: NDCG@10 that a squared distance of 1 from there must bring, at one knot; smooth: the same for steps from
    knot to knot. noise: standard errors of the paired difference by which a step must be better.
    """

    start: tuple[float, ...] = (0.2, 0.2, 0.1, 0.1, 0.0, 0.0)
    drawn_back: float = 0.1
    smooth: float = 0.05
    noise: float = 1.0


# Where no ranker of short histories needs popularity's help. The best of twenty steps is one error above none by chance
PLAIN: Final = GateConfig(start=(0.0,) * len(KNOTS), noise=2.0)


@dataclass(frozen=True)
class Opinions:
    """What the experts say of q slates of at most k candidates, and what was chosen.

    said: float32 [q, k, experts] in the order of `EXPERTS`, -inf in the padding. chosen: bool [q, k].
    wanted: int64 [q], relevant items, found or not, at least 1. lengths: int64 [q], of the histories.
    """

    said: Floats
    chosen: Bools
    wanted: Sizes
    lengths: Sizes


@dataclass(frozen=True)
class Gate:
    """weights: expert -> its weight at each of `knots`, in the order of `EXPERTS`."""

    knots: tuple[int, ...]
    weights: dict[str, tuple[float, ...]]

    @classmethod
    def before(cls, config: GateConfig | None = None) -> "Gate":
        """The gate that nothing was learned by."""
        flat = {name: (float(name == RANKER),) * len(KNOTS) for name in EXPERTS}
        return cls(KNOTS, flat | {EXPERTS[0]: (config or GateConfig()).start})

    @classmethod
    def fit(cls, told: Sequence[Opinions], *, config: GateConfig | None = None) -> "Gate":
        """Climb from the start: one weight at one knot at a time, to the step of the best mean NDCG@10.

        Each knot's slates count as their number does not, so that many long histories do not drown few short ones; a
        knot without slates keeps its start.
        """
        config = config or GateConfig()
        start = np.array(list(cls.before(config).weights.values()))
        weights = start.copy()
        for knot in range(len(KNOTS)):
            near = [_near(one, knot) for one in told]
            seen = [one for one in near if len(one.lengths)]
            if not seen:
                continue
            for _ in range(SWEEPS):
                for expert in range(len(EXPERTS) - 1):
                    weights[expert, knot] = _best(seen, weights, (expert, knot), start, config)
        return cls(KNOTS, {name: tuple(row) for name, row in zip(EXPERTS, weights.tolist(), strict=True)})

    def at(self, lengths: Sizes) -> Values:
        """Weights for histories of these lengths, float64 [q, experts].

        >>> gate = Gate((0, 3), {"popularity": (1.0, 0.0), "ranker": (0.0, 2.0)})
        >>> gate.at(np.array([0, 1, 3, 99])).tolist()
        [[1.0, 0.0], [0.5, 1.0], [0.0, 2.0], [0.0, 2.0]]
        """
        at, places = np.log1p(lengths), np.log1p(self.knots)
        return np.array([np.interp(at, places, row) for row in self.weights.values()]).T

    def score(self, said: Floats, lengths: Sizes) -> Floats:
        """Weighted sums of the experts' opinions, float32 [q, k]; `said` as in `Opinions`."""
        return np.asarray(_weighed(said, self.at(lengths)))

    def shown(self, lengths: Sequence[int] = (0, 1, 3, 5, 10, 50)) -> dict[str, dict[str, float]]:
        """Weights for a report: length -> expert -> weight, rounded."""
        rows = self.at(np.array(lengths, np.int64)).round(3).tolist()
        return {
            str(length): dict(zip(self.weights, row, strict=True)) for length, row in zip(lengths, rows, strict=True)
        }

    def save(self, folder: Path) -> None:
        """Write the weights as JSON."""
        save_as(folder / "gate.json", self, Gate)

    @classmethod
    def load(cls, folder: Path) -> "Gate":
        """Read what `save` wrote."""
        return load_as(folder / "gate.json", Gate)


def said_by(slates: Slates, ranker: Floats) -> Floats:
    """What each group of experts says, float32 [q, k, experts] as in `Opinions`, standardised within the slate.

    A generator's opinion is its score, of what it does not offer its least one in the slate; a group's is the mean of
    its generators'. A group of which nobody offers anything has no opinion: 0. ranker: float32 [n], row scores.
    """
    candidates, groups = slates.candidates, slates.groups
    opinions = standardise(_least_filled(candidates.score, candidates.item, groups), groups)  # [n, g]
    total = _summed(opinions, _experts(candidates.generators), len(EXPERTS))
    total[:, EXPERTS.index(RANKER)] += ranker
    return np.asarray(_scattered(standardise(total, groups), candidates.item))


@lru_cache(maxsize=8)
def _experts(generators: tuple[str, ...]) -> Sizes:
    """The place of each generator's group in `EXPERTS`."""
    return np.array([EXPERTS.index(expert_of(name)) for name in generators], np.int64)


def opinions_of(slates: Slates, ranker: Floats, lengths: Sizes, chosen: Bools, wanted: Sizes) -> Opinions:
    """Of slates with row scores and labels, float32 [n] and bool [n], and numbers of relevant items, [q]."""
    padded = np.zeros(slates.candidates.item.shape, bool)
    padded[slates.candidates.item != UNKNOWN] = chosen
    return Opinions(said_by(slates, ranker), padded, wanted, lengths)


def expert_of(generator: str) -> str:
    """The group that a generator belongs to."""
    return "session" if generator in SESSION else _EXPERTS_OF[GROUPS.get(generator, Group.COLLABORATIVE)]


def ndcg_of(scores: Floats, chosen: Bools, wanted: Sizes, k: int = DEPTH) -> Values:
    """NDCG@k of each slate by scores [q, k'], ties by place, float64 [q]."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return ndcg(np.take_along_axis(chosen, best, axis=1), wanted, k)


@numba.njit(cache=True, nogil=True)
def _weighed(said: Floats, weights: Values) -> Floats:
    """`Gate.score` by the weights of each query, float64 [q, experts]; sums in float64."""
    found = np.empty(said.shape[:2], np.float32)
    for query in range(len(said)):
        for place in range(said.shape[1]):
            total = 0.0
            for expert in range(said.shape[2]):
                total += said[query, place, expert] * weights[query, expert]
            found[query, place] = -np.inf if said[query, place, 0] == -np.inf else total
    return found


def _measured(told: Opinions, weights: Values) -> Values:
    """NDCG@10 of each slate by the same weights [experts]."""
    scores = _weighed(told.said, np.tile(weights, (len(told.lengths), 1)))
    return ndcg_of(scores, told.chosen, told.wanted)


@numba.njit(cache=True, nogil=True)
def _least_filled(scores: Floats, item: Codes, groups: Sizes) -> Values:
    """Scores [q, k, g] of the n candidates, and for what is not offered the slate's least, or 0: float64 [n, g]."""
    found = np.empty((groups.sum(), scores.shape[2]))
    stop = 0
    for query in range(len(scores)):
        start, least = stop, np.full(scores.shape[2], np.inf)
        for place in range(scores.shape[1]):
            if item[query, place] != UNKNOWN:
                for column in range(scores.shape[2]):
                    score = np.float64(scores[query, place, column])
                    found[stop, column] = score
                    least[column] = min(least[column], score if np.isfinite(score) else np.inf)
                stop += 1
        for row in range(start, stop):
            for column in range(scores.shape[2]):
                if not np.isfinite(found[row, column]):
                    found[row, column] = least[column] if np.isfinite(least[column]) else 0.0
    return found


@numba.njit(cache=True, nogil=True)
def _scattered(values: Values, item: Codes) -> Floats:
    """Values [n, v] of candidates in the shape of `item`, float32 [q, k, v], -inf in the padding."""
    found = np.full((*item.shape, values.shape[1]), np.float32(-np.inf))
    row = 0
    for query in range(len(item)):
        for place in range(item.shape[1]):
            if item[query, place] != UNKNOWN:
                found[query, place] = values[row]
                row += 1
    return found


@numba.njit(cache=True, nogil=True)
def _summed(values: Values, column: Sizes, n_columns: int) -> Values:
    """Sums of the columns [n, c] that belong to each of fewer ones, float64 [n, n_columns]."""
    total = np.zeros((len(values), n_columns))
    for row in range(len(values)):
        for one in range(values.shape[1]):
            total[row, column[one]] += values[row, one]
    return total


def _near(told: Opinions, knot: int) -> Opinions:
    """The slates that are nearer to this knot than to any other."""
    apart = np.abs(np.log1p(told.lengths)[:, None] - np.log1p(KNOTS))
    mine = apart.argmin(axis=1) == knot
    return Opinions(told.said[mine], told.chosen[mine], told.wanted[mine], told.lengths[mine])


def _best(
    seen: Sequence[Opinions], weights: Values, place: tuple[int, int], start: Values, config: GateConfig
) -> float:
    """The step for one weight that brings most after its penalties; where that is noise, the weight as it is."""
    found, worth = {}, {}
    for step in sorted({*STEPS, float(weights[place])}):
        tried = weights.copy()
        tried[place] = step
        found[step] = np.concatenate([_measured(one, tried[:, place[1]]) for one in seen])
        away, bends = (tried - start)[place], np.diff(tried[place[0]] - start[place[0]])
        cost = config.drawn_back * away**2 + config.smooth * float((bends**2).sum())
        worth[step] = float(found[step].mean()) - cost
    best, now = max(worth, key=lambda step: worth[step]), float(weights[place])
    gain = found[best] - found[now]
    return best if gain.mean() > config.noise * gain.std() / np.sqrt(len(gain)) else now
