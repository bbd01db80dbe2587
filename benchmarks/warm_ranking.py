"""Does content help to rank items that are known already, and what do places for new items cost?

    python benchmarks/warm_ranking.py --home HOME [--seeds 3] > movielens.json
    python benchmarks/warm_ranking.py --lastfm FOLDER [--seeds 3] > lastfm.json

HOME, FOLDER: as of cold_items.py, whose first random division it takes: a fifth of the items is held out and new, what
is learned from are each user's earliest 80 % of the positives on the others (of Last.fm the given training part), to be
found are the later ones. All items of the training part are ranked but a user's own.

`warm`: EASE, its regularisation tuned on each user's latest fifth of the training part, against the same plus a weight
times the alignment (both standardised; the weight is chosen in the same way), once of the items' own content and once
of content permuted over the items. A second model may help whatever it knows: content earns a gain only where the own
one beats the permuted one. NDCG@10; intervals are 95 %, paired bootstrap over users; mean over seeds.

`slots`: the catalogue with the new items. Each of 20 places is given to a new item with a chance of 0, 1, 5 or 15 %,
drawn once a user; new items are ranked as the product does, or at random. NDCG@20 of known items, and its loss;
recall@20 of new ones. Prints one JSON object.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from cold_items import SHARE, Division, Set, by_alignment, by_mapping, earliest, held_out_items, lastfm, movielens, z
from scipy import sparse

from ranking.candidates.ease import Dual
from ranking.evaluation.significance import ci95, resampled_means
from ranking.metrics import ndcg
from ranking.representation.alignment import Alignment
from ranking.representation.behaviour import positives
from ranking.representation.content import ItemContent
from ranking.representation.factor_mapping import FactorMapping
from ranking.types import Bools, Floats, Interactions

DEPTH, PLACES = 10, 20
STRENGTHS = (10.0, 30.0, 60.0, 100.0, 300.0, 1000.0, 3000.0)
WEIGHTS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5)
CHANCES = (0.0, 0.01, 0.05, 0.15)


class Task:
    """Who liked what, and what they came to like later; users who have both.

    known: [u, n], of the training part. relevant: bool [u, n]. offered: bool [n], items of the training part.
    """

    def __init__(self, train: Interactions, later: Interactions) -> None:
        known, liked = positives(train), positives(later)
        self.train = train
        self.offered: Bools = np.asarray(known.sum(axis=0)).ravel() > 0
        wanted = (liked.toarray() > 0) & self.offered & (known.toarray() == 0)
        users = np.flatnonzero(wanted.any(axis=1) & (np.diff(known.indptr) > 0))
        self.users = users
        self.known: sparse.csr_matrix = known[users]
        self.relevant: Bools = wanted[users]
        self.all = known

    def ranked(self, scores: Floats, depth: int) -> np.ndarray:
        """The best offered items that the user has not met, int64 [u, depth]."""
        shown = np.where(self.offered & (self.known.toarray() == 0), scores, -np.inf)
        return np.argsort(-shown, axis=1, kind="stable")[:, :depth]

    def ndcg(self, scores: Floats) -> np.ndarray:
        """Of each user."""
        hits = np.take_along_axis(self.relevant, self.ranked(scores, DEPTH), axis=1)
        return ndcg(hits, self.relevant.sum(axis=1), DEPTH)

    def ease(self, strength: float) -> Floats:
        """Scores of all items, [u, n]."""
        x = self.all[np.diff(self.all.indptr) > 0].astype(np.float64)
        return Dual.solve(x, strength).score(self.known)

    def aligned(self, content: ItemContent, seed: int) -> Floats:
        """Scores of all items by an alignment of that content, [u, n]."""
        found = Alignment.fit(content, self.train, seed=seed)
        everything = np.arange(len(content.items))
        asked = Division(self.train, everything, self.known, self.relevant)
        return by_alignment(found, asked, content, content, found.inputs.means)

    def standardised(self, scores: Floats) -> Floats:
        """Mean 0 and deviation 1 over the offered items."""
        some = scores[:, self.offered]
        return (scores - some.mean(axis=1, keepdims=True)) / np.maximum(some.std(axis=1, keepdims=True), 1e-9)


def permuted(content: ItemContent, offered: Bools, seed: int) -> ItemContent:
    """Content of the offered items in another order among them."""
    order = np.arange(len(content.items))
    order[offered] = np.random.default_rng(seed).permutation(order[offered])
    return replace(
        content,
        vectors={name: one[order] for name, one in content.vectors.items()},
        present={name: one[order] for name, one in content.present.items()},
        created_at=content.created_at[order],
        categories=content.categories[order],
    )


def warm(data: Set, test: Task, tuning: Task, seeds: int) -> dict[str, object]:
    """EASE, with the alignment of the items' own and of permuted content."""
    best = max(STRENGTHS, key=lambda one: tuning.ndcg(tuning.ease(one)).mean())
    bases = {task: task.standardised(task.ease(best)) for task in (tuning, test)}
    values: dict[str, list[np.ndarray]] = {"ease": [test.ndcg(bases[test])], "own": [], "permuted": []}
    weights: dict[str, list[float]] = {"own": [], "permuted": []}
    for seed in range(seeds):
        for name in weights:
            contents = {
                task: data.content if name == "own" else permuted(data.content, task.offered, seed) for task in bases
            }
            aligned = {task: task.standardised(task.aligned(contents[task], seed)) for task in bases}
            weight = max(WEIGHTS, key=lambda one: tuning.ndcg(bases[tuning] + one * aligned[tuning]).mean())
            weights[name].append(weight)
            values[name].append(test.ndcg(bases[test] + weight * aligned[test]))
    table = np.stack([np.mean(values[name], axis=0) for name in ("ease", "own", "permuted")], axis=1)
    means = resampled_means(table)
    pairs = {"own - ease": (1, 0), "permuted - ease": (2, 0), "own - permuted": (1, 2)}
    return {
        "users": len(table),
        "ease_l2": best,
        "weights": weights,
        "ndcg@10": dict(zip(("ease", "own", "permuted"), table.mean(axis=0).round(4).tolist(), strict=True)),
        "differences": {
            name: {
                "difference": round(float((table[:, one] - table[:, other]).mean()), 4),
                "interval": [round(end, 4) for end in ci95(means[:, one] - means[:, other])],
            }
            for name, (one, other) in pairs.items()
        },
        "best_l2_is_on_the_edge": best in (STRENGTHS[0], STRENGTHS[-1]),
    }


def slots(data: Set, division: Division, test: Task, strength: float) -> dict[str, object]:
    """What known items lose and new ones gain by places that are kept for these."""
    new = division.candidates
    asked = Division(test.train, new, test.known, positives(data.log)[test.users][:, new].toarray() > 0)
    alignment, mapping = Alignment.fit(data.content, test.train), FactorMapping.fit(data.content, test.train)
    opinion = z(by_alignment(alignment, asked, data.content, data.content, alignment.inputs.means))
    opinion += z(by_mapping(mapping, asked, data.content, data.content))
    orders = {"product": opinion, "random": np.random.default_rng(3).random(opinion.shape)}
    known_hits = np.take_along_axis(test.relevant, test.ranked(test.ease(strength), PLACES), axis=1)
    found: dict[str, object] = {}
    for name, scores in orders.items():
        new_hits = np.take_along_axis(asked.relevant, np.argsort(-scores, axis=1, kind="stable")[:, :PLACES], axis=1)
        found[name] = {chance: mixed(known_hits, new_hits, test, asked, chance) for chance in CHANCES}
    return found


def mixed(known_hits: Bools, new_hits: Bools, test: Task, asked: Division, chance: float) -> dict[str, float]:
    """Measures of lists in which each place is one for a new item with that chance."""
    is_new = np.random.default_rng(9).random(known_hits.shape) < chance
    of_known, of_new = ((one.cumsum(axis=1) - 1).clip(min=0) for one in (~is_new, is_new))
    hits_known = np.take_along_axis(known_hits, of_known, axis=1) & ~is_new
    hits_new = np.take_along_axis(new_hits, of_new, axis=1) & is_new
    full = ndcg(known_hits, test.relevant.sum(axis=1), PLACES).mean()
    left = ndcg(hits_known, test.relevant.sum(axis=1), PLACES).mean()
    wanted = asked.relevant.sum(axis=1)
    recall = (hits_new.sum(axis=1)[wanted > 0] / wanted[wanted > 0]).mean()
    return {
        "known_ndcg@20": round(float(left), 4),
        "known_loss": round(float(1 - left / full), 4),
        "new_recall@20": round(float(recall), 4),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--home", type=Path)
    source.add_argument("--lastfm", type=Path)
    options.add_argument("--seeds", type=int, default=3)
    asked = options.parse_args()
    data = movielens(asked.home) if asked.home else lastfm(asked.lastfm)
    held_out = held_out_items(data)["random"][0]
    division = Division.of(data, held_out)
    later = data.log.where(~data.trainable & ~held_out[data.log.item])
    test = Task(division.train, later)
    within = earliest(division.train, 1 - SHARE)
    tuning = Task(division.train.where(within), division.train.where(~within))
    report: dict[str, object] = {"set": data.name, "seeds": asked.seeds, "warm": warm(data, test, tuning, asked.seeds)}
    strength = max(STRENGTHS, key=lambda one: tuning.ndcg(tuning.ease(one)).mean())
    print(json.dumps(report | {"slots": slots(data, division, test, strength)}, indent=2))


if __name__ == "__main__":
    main()
