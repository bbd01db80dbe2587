"""New items ranked by other configurations of the alignment: alone, and beside the factor mapping as the product does.

    python benchmarks/alignment_configurations.py --home HOME '{"loss": "bpr"}' '{"optimizer": "sgd"}' ...

HOME: a finished home of ml-latest-small with plots and posters; each argument is what a configuration changes of the
defaults, which are measured first. NDCG@10, mean of the first two random divisions of `cold_items.py`, one seed, all
modalities. Where a configuration draws from augmented views, the home must have encoded as many. Prints one JSON
object: configuration -> [alone, product].
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from cold_items import Division, Set, by_alignment, by_mapping, held_out_items, measured, movielens, z
from pydantic import TypeAdapter

from feature_repo.schema import Modality
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.content import ItemContent, item_content
from ranking.representation.factor_mapping import FactorMapping

DIVISIONS = 2


def views_of(home: Path, data: Set, n: int) -> list[ItemContent]:
    """The same items with vectors of augmented content; a modality that has no views is as it was."""
    items = pq.read_table(home / "lake" / "items" / "table.parquet")
    found = []
    for number in range(1, n + 1):
        files = {one: home / "lake" / f"{one}_embeddings" / f"view{number}.parquet" for one in data.content.vectors}
        view = item_content(items, {Modality(one): pq.read_table(file) for one, file in files.items()})
        found.append(replace(data.content, vectors=view.vectors, present=view.present))
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    options.add_argument("configurations", nargs="*")
    asked = options.parse_args()
    data, kind = movielens(asked.home), TypeAdapter(AlignmentConfig)
    divisions = [Division.of(data, held_out) for held_out in held_out_items(data)["random"][:DIVISIONS]]
    content, heads = data.content, data.heads[-1]
    predicted = [by_mapping(FactorMapping.fit(content, one.train), one, content, content) for one in divisions]
    report: dict[str, list[float]] = {}
    for text in ("{}", *asked.configurations):
        config = kind.validate_json(text)
        views = views_of(asked.home, data, config.views)
        found = []
        for division, mapped in zip(divisions, predicted, strict=True):
            alignment = Alignment.fit(content, division.train, config=config, views=views)
            alone = by_alignment(alignment, division, content, content, heads)
            found.append([measured(scores, division.relevant) for scores in (alone, z(alone) + z(mapped))])
        report[text] = np.mean(found, axis=0).round(4).tolist()
        print(text, report[text], file=sys.stderr, flush=True)
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
