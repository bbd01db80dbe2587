"""The last stage of an answer: milliseconds of the processor to fill a page of 10 from 500 candidates of 20,000 items.

    python benchmarks/strategy.py [--items 20000] [--candidates 500] [--k 10] [--pages 300] [--runs 5]

Vectors, categories (20, three an item), makers (500) and scores are random. Times are of one thread,
medians of the runs. For `diversity` the peer is the same greedy search as a loop over the candidates, in the same run.

Prints one JSON object a line: {"name", "ours", "peer", "peer_name", "unit", "ratio", "runs"}.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from feature_repo import schema
from ranking.strategy.arrange import Page, Pool, arrange
from ranking.strategy.diversity import SMOOTHING, MarginalRelevance, Relevance, Variety
from ranking.strategy.exploration import Best, draws
from ranking.strategy.explorer import Explorer
from ranking.strategy.rules.compiled import NO_RULES, RuleSet
from ranking.strategy.rules.compiler import Compiler
from ranking.strategy.rules.conditions import at

DIVERSITY = 0.3
RULES = (
    "cap maker at 1",
    "cap c at 4",
    'quota maker = "m3" at least 1',
    'boost 2 where c has "c1"',
    'pin "i00007" at 3',
)


class World:
    """Random items, and a query's candidates among them."""

    def __init__(self, n: int, candidates: int) -> None:
        rng = np.random.default_rng(0)
        vectors = rng.normal(size=(n, 64)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        categories = [[f"c{one}" for one in row] for row in rng.integers(0, 20, (n, 3))]
        ids = [f"i{one:05}" for one in range(n)]
        makers = [f"m{one}" for one in rng.integers(0, 500, n)]
        table = pa.table({schema.ITEM_ID: ids, schema.CATEGORIES: categories, "c": categories, "maker": makers})
        self.compiler, self.variety = Compiler(table), Variety.of(table, vectors)
        self.items = rng.permutation(n)[:candidates].astype(np.int32)
        self.scores = np.sort(rng.normal(size=candidates))[::-1].copy()
        self.wanted = rng.dirichlet(np.ones(20)).astype(np.float32)
        self.met = rng.integers(0, 1000, candidates).astype(np.float64)
        self.everything = np.ones(n, bool)

    def page(self, k: int, seed: int, *, rules: RuleSet = NO_RULES, diversity: float = 0, chance: str = "") -> Page:
        """Under some wishes."""
        boosted = [at(rule.mask, 0)[self.items] for rule in rules.boosts]
        scores = self.scores + sum(rule.add * mask for rule, mask in zip(rules.boosts, boosted, strict=True))
        pool = Pool(self.items, scores, boosted, self.met, self.everything, lambda: self.items[:0])
        drawn = draws(Explorer(chance), 0.1, scores, seed=seed) if chance else Best()

        def relevance() -> Relevance:
            if not diversity:
                return Relevance(scores)
            return MarginalRelevance(self.variety, self.items, scores, wanted=self.wanted, diversity=diversity)

        return arrange(pool, rules, k=k, relevance=relevance, draws=drawn)

    def by_loop(self, k: int) -> list[int]:
        """Maximal marginal relevance and calibration, candidate by candidate."""
        shares, vectors = self.variety.shares[self.items].toarray(), self.variety.vectors[self.items]
        relevance = (self.scores - self.scores.min()) / np.ptp(self.scores)
        chosen: list[int] = []
        for _ in range(k):
            best, most = -1, -np.inf
            for one in range(len(self.items)):
                if one in chosen:
                    continue
                nearest = float((vectors[chosen] @ vectors[one]).max()) if chosen else 0.0
                mix = (1 - SMOOTHING) * shares[[*chosen, one]].mean(axis=0) + SMOOTHING * self.wanted
                off = float((self.wanted * np.log(self.wanted / mix)).sum())
                value = (1 - DIVERSITY) * relevance[one] - DIVERSITY * (nearest + off)
                if value > most:
                    best, most = one, value
            chosen.append(best)
        return [int(self.items[one]) for one in chosen]


def ms(made: Callable[[int], object], pages: int) -> float:
    began = time.process_time()
    for seed in range(pages):
        made(seed)
    return (time.process_time() - began) * 1e3 / pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("items", 20_000), ("candidates", 500), ("k", 10), ("pages", 300), ("runs", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    asked = parser.parse_args()
    world = World(asked.items, asked.candidates)
    rules = world.compiler.compile(RULES)
    kinds: dict[str, Callable[[int], Page]] = {
        "plain": lambda seed: world.page(asked.k, seed),
        "rules": lambda seed: world.page(asked.k, seed, rules=rules),
        "diversity": lambda seed: world.page(asked.k, seed, diversity=DIVERSITY),
        "epsilon": lambda seed: world.page(asked.k, seed, chance="epsilon"),
        "thompson": lambda seed: world.page(asked.k, seed, chance="thompson"),
    }
    assert [seat.item for seat in kinds["diversity"](0).seats] == world.by_loop(asked.k)
    with threadpool_limits(1):
        for name, made in kinds.items():
            ours = [ms(made, asked.pages) for _ in range(asked.runs)]
            peers = [ms(lambda _: world.by_loop(asked.k), 3) for _ in ours] if name == "diversity" else []
            row = {"name": name, "ours": round(statistics.median(ours), 3), "unit": "ms", "runs": asked.runs}
            if peers:
                pairs = [peer / one for one, peer in zip(ours, peers, strict=True)]
                row |= {"peer": round(statistics.median(peers), 1), "peer_name": "loop"}
                row["ratio"] = round(statistics.median(pairs), 1)
            print(json.dumps(row))


if __name__ == "__main__":
    main()
