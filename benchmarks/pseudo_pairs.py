"""What pseudo-pairs for items without behaviour are worth among new items: the alignment with and without them.

    python benchmarks/pseudo_pairs.py --home HOME [--seeds 3] > pseudo_pairs.json

HOME: a finished home of ml-latest-small with plots and posters. Divisions, candidates, measure and intervals are those
of `cold_items.py`: NDCG@10 among held-out items, 95 % by a delete-half jackknife over items, paired. Both alignments
of a pair have the same seed; `product` is the alignment beside the predicted audience, as new items are ranked.
Prints one JSON object.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from cold_items import (
    Division,
    Scores,
    Set,
    by_alignment,
    by_mapping,
    difference,
    halved,
    held_out_items,
    measured,
    movielens,
    z,
)

from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.pseudo_pairs import find_pseudo_pairs

OFF, ON = "without", "with pseudo-pairs"


def evaluate(data: Set, division: Division, seeds: int) -> tuple[Scores, dict]:
    """Scores of both, a row a seed and the sum over seeds, and which pairs were made."""
    content, heads = data.content, data.heads[-1]
    start = time.process_time()
    pairs = find_pseudo_pairs(content, division.train)
    notes = {
        "pairs": len(pairs.item),
        "items": len(set(pairs.item.tolist())),
        "candidates_with_pairs": int(np.isin(division.candidates, pairs.item).sum()),
        "threshold": round(pairs.threshold, 3),
        "precision": round(pairs.precision, 3),
        "cpu_s": round(time.process_time() - start, 1),
    }
    predicted = z(by_mapping(FactorMapping.fit(content, division.train), division, content, content))
    rows: Scores = {}
    for name, config in ((OFF, AlignmentConfig()), (ON, AlignmentConfig(pseudo_pairs=True))):
        found = [Alignment.fit(content, division.train, config=config, seed=seed) for seed in range(seeds)]
        scores = [by_alignment(one, division, content, content, heads) for one in found]
        for seed, one in enumerate(scores):
            rows |= {f"alignment {name} {seed}": one, f"product {name} {seed}": z(one) + predicted}
        rows |= {f"alignment {name} all": sum(scores), f"product {name} all": z(sum(scores)) + predicted}
    return rows, notes


def averaged(values: dict, seeds: int) -> dict:
    """The mean over single seeds under `one seed`, the sum of all seeds' scores under `all seeds`."""
    found = {}
    for what in ("alignment", "product"):
        for name in (OFF, ON):
            key = f"{what} {name}"
            found[f"{key}, one seed"] = np.mean([values[f"{key} {seed}"] for seed in range(seeds)], axis=0)
            found[f"{key}, all seeds"] = values[f"{key} all"]
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("--seeds", type=int, default=3)
    asked = options.parse_args()
    data = movielens(asked.home)
    report: dict = {"set": data.name, "measure": "NDCG@10", "seeds": asked.seeds}
    for kind, divided in held_out_items(data).items():
        full, halves, notes = [], [], []
        for number, held_out in enumerate(divided):
            division = Division.of(data, held_out)
            rows, found = evaluate(data, division, asked.seeds)
            print(kind, number, json.dumps(found), file=sys.stderr, flush=True)
            notes.append(found)
            full.append(averaged({one: measured(s, division.relevant) for one, s in rows.items()}, asked.seeds))
            halves.append(averaged(halved(rows, division.relevant), asked.seeds))
        compared = [
            (f"{what} {ON}, {seeds}", f"{what} {OFF}, {seeds}")
            for what in ("alignment", "product")
            for seeds in ("one seed", "all seeds")
        ]
        report[kind] = {
            "ndcg": {name: round(float(np.mean([one[name] for one in full])), 4) for name in full[0]},
            "differences": [difference(full, halves, *pair) for pair in compared],
            "pairs": notes,
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
