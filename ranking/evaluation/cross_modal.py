"""Does one modality of an unseen item find another? What the product keeps for a pair, against chance and alignment."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Final, TypedDict

import numpy as np

from feature_repo.schema import Modality
from ranking.evaluation.significance import ci95, resampled_means
from ranking.representation.alignment import Alignment
from ranking.representation.alignment_config import AlignmentConfig
from ranking.representation.cca import ranks
from ranking.representation.content import ItemContent
from ranking.representation.cross_modal import fit_pairs, pair_name
from ranking.types import Bools, Floats, Interactions

DEPTH: Final = 10
MOST: Final = 500  # hidden items: a fifth of those that have two modalities, at most so many
SHARE: Final = 0.2
LEAST: Final = 20  # hidden items of a pair; fewer tell nothing
PRODUCT, ALIGNMENT = "product", "alignment"

# Of one model: the share of queries whose own item is among the ten nearest, and the median place of the own item.
Recall = TypedDict("Recall", {"recall@10": float, "ci95": list[float], "median_rank": float})


class Crossing(TypedDict):
    """One modality asks for another. items: hidden ones that have both, each a query and each offered.

    pairs: items that the product learned from. chance: recall of a random order. difference: recall of the product
    minus that of the alignment, with its interval over the same queries.
    """

    asked: str
    found: str
    items: int
    pairs: int
    chance: float
    models: dict[str, Recall]
    difference: float
    ci95: list[float]


def cross_modal(
    content: ItemContent,
    log: Interactions,
    *,
    config: AlignmentConfig | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Crossing]:
    """Hide a fifth of the items that have two modalities (at most 500), learn from the others, and look for the hidden.

    Both models read the same vectors. The product is the `CrossModal` of the pair, fitted and tuned without the hidden
    items; the alignment learns from likes of items that are not hidden. Two modalities that fewer than 20 hidden items
    have, or too few others to be learned from, are left out.
    """
    hidden = hidden_items(content, seed)
    known = replace(content, present={name: there & ~hidden for name, there in content.present.items()})
    models = fit_pairs(known, seed=seed)
    asked = {
        (one, other): np.flatnonzero(content.present[one] & content.present[other] & hidden)
        for one, other in combinations(sorted(content.vectors), 2)
        if pair_name(one, other) in models
    }
    asked = {pair: items for pair, items in asked.items() if len(items) >= LEAST}
    if not asked:
        return []
    alignment = Alignment.fit(known, log.where(~hidden[log.item]), config=config, seed=seed, progress=progress)
    heads = alignment.modality_vectors(content)
    found: list[Crossing] = []
    for pair, items in asked.items():
        model = models[pair_name(*pair)]
        placed = {
            PRODUCT: [model.place(side, content.vectors[side][items]) for side in pair],
            ALIGNMENT: [heads[side][items] for side in pair],
        }
        pairs = int((known.present[pair[0]] & known.present[pair[1]]).sum())
        found.append(_crossing(*pair, placed, pairs))
        found.append(_crossing(*pair[::-1], {name: sides[::-1] for name, sides in placed.items()}, pairs))
    return found


def hidden_items(content: ItemContent, seed: int) -> Bools:
    """The items to look for, bool [n]: at random among those that have two modalities."""
    n = len(content.items)
    several = np.flatnonzero(np.sum([np.zeros(n, int), *content.present.values()], axis=0) > 1)
    hidden = np.zeros(n, bool)
    hidden[np.random.default_rng(seed).permutation(several)[: min(MOST, round(SHARE * len(several)))]] = True
    return hidden


def _crossing(asked: Modality, found: Modality, placed: dict[str, list[Floats]], pairs: int) -> Crossing:
    """placed: by model, vectors of both modalities of the same items, the asked one first."""
    places = {name: ranks(*sides) for name, sides in placed.items()}
    hits = np.stack([place <= DEPTH for place in places.values()], axis=1).astype(np.float64)
    draws = resampled_means(hits)
    models: dict[str, Recall] = {
        name: {
            "recall@10": float(hits[:, column].mean()),
            "ci95": list(ci95(draws[:, column])),
            "median_rank": float(np.median(place)),
        }
        for column, (name, place) in enumerate(places.items())
    }
    return {
        "asked": str(asked),
        "found": str(found),
        "items": len(hits),
        "pairs": pairs,
        "chance": min(1.0, DEPTH / len(hits)),
        "models": models,
        "difference": models[PRODUCT]["recall@10"] - models[ALIGNMENT]["recall@10"],
        "ci95": list(ci95(draws[:, 0] - draws[:, 1])),
    }
