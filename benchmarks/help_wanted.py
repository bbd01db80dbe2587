"""Is help given to the items that `trichord wanted` names worth more than help given to others?

    python benchmarks/help_wanted.py --home HOME > help_wanted.json

HOME: a finished home of ml-latest-small with plots and posters. Divisions, candidates and measure are those of
`cold_items.py`: NDCG@10 among held-out items, ranked by the factor mapping. Each held-out item loses one of text,
poster, and categories with date, drawn at random. Then a share of the items get back what they lost:
those that the report names first, or, for comparison, the most uncertain ones, those of the highest gain or expected
demand, or random ones. All held-out items count as new, so that their demand is predicted. The report knows nothing of
what was lost, nor of who likes the held-out items. Intervals are 95 %, of the difference between the report's choice
and another one, by a delete-half jackknife over items. Prints one JSON object.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cold_items import Division, Set, by_mapping, difference, halved, held_out_items, measured, movielens

from feature_repo import schema
from feature_repo.schema import Modality
from ranking.representation.content import UNKNOWN_TIME, ItemContent
from ranking.representation.demand import expected_demand
from ranking.representation.factor_mapping import FactorMapping
from ranking.representation.help_wanted import help_wanted_table
from ranking.representation.inputs import CATEGORIES
from ranking.types import Bools

SHARES = (0.1, 0.25, 0.5)
CHOICES = ("uncertainty", "gain", "demand", "random")


def with_losses(content: ItemContent, lost: dict[str, Bools]) -> ItemContent:
    """Content without what is lost: head -> bool [n]."""
    present = {one: there & ~lost[one.value] for one, there in content.present.items()}
    vectors = {one: values * present[one][:, None] for one, values in content.vectors.items()}
    categories = content.categories.tolil()
    categories[np.flatnonzero(lost[CATEGORIES])] = False
    created_at = np.where(lost[CATEGORIES], UNKNOWN_TIME, content.created_at)
    return replace(content, vectors=vectors, present=present, categories=categories.tocsr(), created_at=created_at)


def orders(data: Set, division: Division, lacking: ItemContent, mapping: FactorMapping) -> dict[str, npt.NDArray]:
    """Candidates (codes) in the order in which each choice helps them."""
    ids = data.content.items.ids
    items = pa.table({schema.ITEM_ID: ids, schema.TITLE: ids, schema.DESCRIPTION: ids})
    now = int(division.train.occurred_at.max()) + 1
    table = help_wanted_table(mapping, lacking, division.train, items, now=now)
    by_code = table.take(np.argsort(data.content.items.codes(table[schema.ITEM_ID].to_pylist())))
    rows = {head: one for head, one in mapping.inputs.of(lacking).items() if head in mapping.choice.heads}
    new = np.isin(np.arange(len(ids)), division.candidates)
    created_at = np.where(new, UNKNOWN_TIME, data.content.created_at)
    demand = expected_demand(rows, division.train, created_at, now=now, strength=mapping.choice.strength)
    uncertainty, gain = by_code["uncertainty"].to_numpy(), by_code["gain"].to_numpy()
    values = {"report": gain * demand, "uncertainty": uncertainty, "gain": gain, "demand": demand}
    mine = division.candidates
    found = {name: mine[np.argsort(-value[mine], kind="stable")] for name, value in values.items()}
    return found | {"random": np.random.default_rng(5).permutation(division.candidates)}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True)
    data = movielens(options.parse_args().home)
    content, n = data.content, len(data.content.items)
    heads = (Modality.TEXT.value, Modality.IMAGE.value, CATEGORIES)
    report: dict = {"set": data.name, "measure": "NDCG@10"}
    for kind, divided in held_out_items(data).items():
        full, halves = [], []
        for held_out in divided:
            division = Division.of(data, held_out)
            mapping = FactorMapping.fit(content, division.train)
            parts = np.array_split(np.random.default_rng(0).permutation(division.candidates), len(heads))
            lost = {head: np.isin(np.arange(n), part) for head, part in zip(heads, parts, strict=True)}
            lacking = with_losses(content, lost)
            rows = {"nothing": by_mapping(mapping, division, lacking, content)}
            for name, order in orders(data, division, lacking, mapping).items():
                for share in SHARES:
                    helped = np.isin(np.arange(n), order[: round(share * len(order))])
                    better = with_losses(content, {head: one & ~helped for head, one in lost.items()})
                    rows[f"{name} {share}"] = by_mapping(mapping, division, better, content)
            rows["everything"] = by_mapping(mapping, division, content, content)
            full.append({name: measured(scores, division.relevant) for name, scores in rows.items()})
            halves.append(halved(rows, division.relevant))
        report[kind] = {
            "ndcg": {name: round(float(np.mean([one[name] for one in full])), 4) for name in full[0]},
            "differences": [
                difference(full, halves, f"report {share}", f"{name} {share}") for share in SHARES for name in CHOICES
            ],
        }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
